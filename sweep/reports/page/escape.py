"""Escapes text from data for a page: prompts and answers may contain anything."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from tasks.printable import printable

# characters that HTML does not allow, and marks that would change the direction of the text around them
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_IN_MARKDOWN = re.compile(r"`[^`]*`|\*{3}|[\\<*\[|]")
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_IN_SCRIPT_PATTERN = re.compile("[<>&]")


def clean(text: str, most: int | None = None) -> str:
    """The text with characters that a page cannot hold made visible, and cut to `most` characters."""
    shown = _UNWANTED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return shown if most is None or len(shown) <= most else f"{shown[:most].rstrip()} …"


def in_figure(text: str, most: int = 80) -> str:
    """The text for plotly, which takes some HTML for formatting."""
    return html.escape(clean(text, most), quote=False)


def in_markdown(text: str) -> str:
    """The text for Markdown outside of tables: no HTML, links or emphasis, and control characters as escapes. Code spans stay."""
    return _IN_MARKDOWN.sub(
        lambda match: match[0] if match[0].startswith(("`", "***")) else f"\\{match[0]}", printable(text)
    )


def script_json(value: Any) -> str:
    """JSON that is safe between `<script type="application/json">` and its end: ASCII, without `<`, `>` and `&`."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return _IN_SCRIPT_PATTERN.sub(lambda match: _IN_SCRIPT[match[0]], text)


def web_address(link: str | None) -> str | None:
    """The link, if it leads to a web page; nothing else may be clicked."""
    return link if link and re.match(r"https?://[^\s]+\Z", link) else None
