"""What the steps of a ladder are called in sentences: ranks, or the methods of a ladder of arms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sweep.records import Rung


@dataclass(frozen=True, slots=True)
class Terms:
    """The words for one kind of ladder.

    Attributes:
        one, many: a step, and several.
        least, less: the end of the ladder that a verdict looks for, and what lies towards it.
        greatest, greater: the other end, and what lies towards it.
        too_little: what a step is that is shown inferior.
    """

    one: str
    many: str
    least: str
    less: str
    greatest: str
    greater: str
    too_little: str


RANKS = Terms("rank", "ranks", "smallest", "smaller", "largest", "larger", "too small")
METHODS = Terms("method", "methods", "cheapest", "cheaper", "most expensive", "more expensive", "not enough")


def terms_of(rungs: Iterable[int]) -> Terms:
    """The words for a ladder with these steps."""
    return METHODS if any(isinstance(rung, Rung) for rung in rungs) else RANKS
