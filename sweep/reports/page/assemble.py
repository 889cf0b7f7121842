"""Puts a page into one file: template, style, script, plotly.js and figures; nothing is loaded from a network.

The page's content security policy allows only its own two scripts, by their hashes, so no text in the page can run as one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from sweep.reports.page.chart import Chart
from sweep.reports.page.escape import clean, script_json


def assemble(template: str, charts: Sequence[Chart], **values: Any) -> str:
    """The page as HTML; `values` are the variables of the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("sweep.reports.page", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    files = resources.files("sweep.reports.page") / "template"
    script = (files / "page.js").read_text(encoding="utf-8")
    plotly = _plotly() if charts else ""
    return environment.get_template(template).render(
        **values,
        charts={chart.name: chart for chart in charts},
        # these are our own files, or escaped
        figures=Markup(script_json({chart.name: chart.spec for chart in charts})),  # noqa: S704
        style=Markup((files / "style.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        plotly=Markup(plotly),  # noqa: S704
        script_hashes=[_hash(text) for text in (script, plotly) if text],
    )


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
