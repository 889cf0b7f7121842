"""One chart for plotly.js, with a text alternative.

Colours are CSS variables of the page (`var(--ink)`); the page's script resolves them for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RAMP = 8
"""Shades of `var(--ramp-0)` to `var(--ramp-7)`, from few to many."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        name: its name in the page.
        says: its text alternative.
        spec: `data` and `layout` as plotly.js takes them.
    """

    name: str
    says: str
    spec: Mapping[str, Any]


def chart(name: str, says: str, traces: Sequence[Any], **layout: Any) -> Chart:
    """A chart of plotly traces; `layout` is added to the layout that all charts share."""
    from plotly import graph_objects

    shared: dict[str, Any] = {
        "template": graph_objects.layout.Template(),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--muted)", "size": 13},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {
            "bgcolor": "var(--raised)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)", "size": 13},
            "align": "left",
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "itemwidth": 30,
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "var(--muted)", "activecolor": "var(--ink)"},
        "hovermode": "closest",
    }
    figure = graph_objects.Figure(data=list(traces), layout={**shared, **layout}).to_plotly_json()
    figure["layout"].pop("template", None)
    return Chart(name, says, figure)


def like(other: Chart, first: Chart) -> Chart:
    """The chart with only what differs from the first one, trace by trace; the page's script adds the rest."""
    data = [
        {key: value for key, value in trace.items() if value != shared.get(key)}
        for trace, shared in zip(other.spec["data"], first.spec["data"], strict=True)
    ]
    layout = {key: value for key, value in other.spec["layout"].items() if value != first.spec["layout"].get(key)}
    return Chart(other.name, other.says, {"like": first.name, "data": data, "layout": layout})


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A quiet axis."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"color": "var(--muted)", "size": 13}},
        "gridcolor": "var(--grid)",
        "linecolor": "var(--line)",
        "zeroline": False,
        "automargin": True,
        **more,
    }


def log_axis(title: str, values: Sequence[float], *, exponents: bool = False, **more: Any) -> dict[str, Any]:
    """A quiet logarithmic axis over the values, labelled at 1, 2 and 5; linear if fewer than two of these are in its range."""
    low, high = min(values), max(values)
    ticks = [
        float(f"{step}e{power}")
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        for step in (1, 2, 5)
    ]
    shown = [tick for tick in ticks if 0.8 * low <= tick <= 1.25 * high]
    if len(shown) < 2:
        return axis(title, **({"exponentformat": "e"} if exponents else {}), **more)
    texts = [f"{tick:.0e}".replace("e-0", "e-").replace("e+0", "e+") if exponents else f"{tick:g}" for tick in shown]
    return axis(title, type="log", tickvals=shown, ticktext=texts, **more)


def shade(index: int, count: int) -> str:
    """The shade of the ramp for item `index` of `count`."""
    return f"var(--ramp-{round((RAMP - 1) * index / max(count - 1, 1))})"


def short(value: float) -> float:
    """The number with five significant digits, to keep the page small."""
    return float(f"{value:.5g}")
