"""How prompts write a local protocol: a heading, and its lines."""

from __future__ import annotations

import random
from collections.abc import Sequence

NONE = "none"
"""The answer if nothing of a protocol applies."""

ABSENT = ("no {}", "nil {}", "neg for {}", "absent: {}", "not present: {}", "{} ruled out", "no {} found")


def block(heads: Sequence[str], subject: str, lines: Sequence[str], rng: random.Random) -> str:
    """Heading and lines, in one line of text or several; lines may contain commas."""
    head = rng.choice(heads).format(subject)
    style = rng.choice(("lines", "dashes", "bars", "semicolons", "numbers"))
    if style == "lines":
        return "\n".join((f"{head}:", *lines))
    if style == "dashes":
        return "\n".join((f"{head}:", *(f"- {line}" for line in lines)))
    if style == "numbers":
        return f"{head}: " + " ".join(f"({number}) {line}" for number, line in enumerate(lines, start=1))
    return f"{head}: " + {"bars": " | ", "semicolons": "; "}[style].join(lines)


def arranged(request: str, protocol: str, note: str, rng: random.Random) -> str:
    """The three in one of the usual orders; the protocol stands before the note."""
    return "\n".join(
        rng.choice(
            ((request, protocol, note), (protocol, request, note), (protocol, note, request), (protocol, note, request))
        )
    )
