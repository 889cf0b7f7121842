"""Text of data in messages: what a terminal would act on, and what no file can hold, is written as an escape."""

from __future__ import annotations

import re

# control characters but tab and line end, and halves of surrogate pairs
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN = re.compile(r"[\w.+-]+", re.ASCII)


def printable(text: str) -> str:
    """The text with such characters as Python writes them, `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def setting(key: str, value: str) -> str:
    """`key=value` for the command line, quoted where shell or Hydra need it."""
    if _PLAIN.fullmatch(value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return "'" + f'{key}="{escaped}"'.replace("'", "'\\''") + "'"
