"""How often labels, kinds and answers occur, in memory that does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.reports.data_report.profile import PARTS, Balance
from tasks import Example

MOST_VALUES = 1000
"""More different values than these are text, not classes: they are not counted."""
MOST_ANSWERS = 64
"""More different answers than these are text, not classes."""


class Tally:
    """Counts values by part, until there are too many different ones."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._counts: dict[str, list[int]] | None = {}

    def add(self, value: str | None, part: int) -> None:
        """Counts a value; None is not counted."""
        if self._counts is None or value is None:
            return
        counts = self._counts.get(value)
        if counts is None:
            if len(self._counts) >= self._most:
                self._counts = None
                return
            counts = self._counts[value] = [0] * len(PARTS)
        counts[part] += 1

    def balance(self) -> Balance | None:
        """The counts, the most frequent value of train first; None if there are no values, or too many different ones."""
        if not self._counts:
            return None
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1][0], -sum(item[1]), item[0]))
        return Balance(self._what, {value: tuple(counts) for value, counts in ordered})


class Tallies:
    """Labels, kinds, and answers where they are few enough to be classes."""

    def __init__(self) -> None:
        self._label = Tally("label", MOST_VALUES)
        self._kind = Tally("kind", MOST_VALUES)
        self._answer = Tally("answer", MOST_ANSWERS)
        self._count = 0

    def add(self, example: Example, part: int) -> None:
        """Counts an example."""
        self._count += 1
        self._label.add(example.label, part)
        self._kind.add(example.kind, part)
        self._answer.add(example.completion, part)

    def balances(self) -> Iterator[Balance]:
        """What was counted; answers only where there are no labels, and each occurs several times on average."""
        label, kind, answer = (tally.balance() for tally in (self._label, self._kind, self._answer))
        if label is not None:
            yield label
        elif answer is not None and 2 * len(answer.counts) <= self._count:
            yield answer
        if kind is not None:
            yield kind
