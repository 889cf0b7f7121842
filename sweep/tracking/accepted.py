"""Names and texts that MLflow accepts, in every store."""

from __future__ import annotations

import hashlib
import re

# MLflow 3 accepts 8000 characters, servers of MLflow 2 accept 5000
LONGEST_TAG = 5000
LONGEST_PARAM = 6000
LONGEST_NAME = 250

# MLflow accepts colons, but not on a server on Windows
_REFUSED = re.compile(r"[^/\w.\- ]")


def valid_name(name: str) -> str:
    """The name if MLflow accepts it, else a similar one with a hash, so that two names never become one."""
    segments = (_REFUSED.sub("_", segment) for segment in name.split("/"))
    valid = "/".join("_" if segment in ("", ".", "..") else segment for segment in segments)
    if valid == name and len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{valid[: LONGEST_NAME - len(mark) - 1]}-{mark}"


def shortened(text: str, longest: int) -> str:
    """The text in at most `longest` characters that every database can store; an ellipsis shows a cut."""
    storable = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return storable if len(storable) <= longest else storable[: longest - 1] + "…"
