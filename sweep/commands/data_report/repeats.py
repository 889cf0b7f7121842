"""Equal rows and near-duplicates, from what is kept of each row: two hashes, its part and its place."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sweep.reports.data_report.profile import PARTS, Pair, Repeats
from tasks.minhash import BYTES_PER_TEXT, NearDuplicateSearch
from tasks.splits import SEEN_BEFORE

SHOWN = 3
"""Pairs that are shown of each kind."""
MOST_COMPARED = 5_000_000
"""Rows that are compared for near-duplicates; later ones are not."""

BYTES_PER_ROW = 8 + 8 + 4 + 2 + 1 + BYTES_PER_TEXT
"""What is kept of a row in memory."""


class SeenRows:
    """What is kept of each row, 120 bytes. Texts are not kept."""

    def __init__(self, search: NearDuplicateSearch) -> None:
        self._search = search
        self._asked, self._whole = array("q"), array("q")
        self._numbers, self._sources, self._parts = array("I"), array("H"), array("B")

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, part: int, source: int, number: int, asked: str, completion: str) -> None:
        """Adds a row.

        Args:
            part: index in PARTS.
            asked: all that the model is given.
        """
        self._parts.append(part)
        self._sources.append(source)
        self._numbers.append(number)
        self._asked.append(hash(asked))
        self._whole.append(hash((asked, completion)))

    def compare(self, prompts: Sequence[str]) -> None:
        """Adds the prompts of the latest rows, in order, to those that are compared for near-duplicates."""
        self._search.add(prompts[: max(0, MOST_COMPARED - self._search.count)])

    def place(self, row: int, name: Callable[[int, int], str]) -> str:
        """Where a row is, by `name` from its source and number."""
        return name(self._sources[row], self._numbers[row])

    def within(self, name: Callable[[int, int], str]) -> tuple[Repeats, ...]:
        """Rows whose prompt and answer are in their part already."""
        return tuple(
            self._repeats(part, part, *_again(_of(self._whole), self._places(part)), name)
            for part in range(len(PARTS))
            if len(self._places(part))
        )

    def across(self, name: Callable[[int, int], str]) -> tuple[Repeats, ...]:
        """Rows whose prompt is in an earlier part."""
        asked = _of(self._asked)
        return tuple(
            self._repeats(second, first, *_also(asked, self._places(second), self._places(first)), name)
            for first, second in combinations(range(len(PARTS)), 2)
            if len(self._places(first)) and len(self._places(second))
        )

    def left_out(self) -> dict[str, int]:
        """How many rows of each part are left out of judging, if any are: `tasks.splits.SEEN_BEFORE`."""
        asked, counts = _of(self._asked), {}
        for part, earlier in SEEN_BEFORE.items():
            seen = np.concatenate([asked[self._places(PARTS.index(name))] for name in earlier])
            counts[part] = int(np.isin(asked[self._places(PARTS.index(part))], seen).sum())
        return {part: count for part, count in counts.items() if count}

    def contradictory(self) -> int:
        """Prompts that have several answers."""
        _, first = np.unique(_of(self._whole), return_index=True)
        _, counts = np.unique(_of(self._asked)[first], return_counts=True)
        return int((counts > 1).sum())

    @property
    def compared(self) -> int:
        """Rows that were compared for near-duplicates."""
        return self._search.count

    def near(
        self, name: Callable[[int, int], str], advance: Callable[[float], None] = lambda share: None
    ) -> tuple[Repeats, ...]:
        """Rows with a near-duplicate in an earlier part that does not hold the same prompt."""
        count, asked = self._search.count, _of(self._asked)
        found = self._search.between(_of(self._parts)[:count], asked[:count], advance)
        repeats = []
        for (first, second), similar in found.items():
            equal = np.isin(asked[similar.places], asked[self._places(first)])
            places, partners = similar.places[~equal], similar.partners[~equal]
            shown = tuple(
                Pair(self.place(int(here), name), self.place(int(there), name), round(float(similarity), 3))
                for here, there, similarity in zip(
                    places[:SHOWN], partners[:SHOWN], similar.similarity[~equal][:SHOWN], strict=True
                )
            )
            repeats.append(Repeats(PARTS[second], PARTS[first], len(places), shown, similar.complete))
        return tuple(repeats)

    def _places(self, part: int) -> NDArray[np.int64]:
        return np.flatnonzero(_of(self._parts) == part)

    def _repeats(
        self,
        part: int,
        other: int,
        here: NDArray[np.int64],
        there: NDArray[np.int64],
        name: Callable[[int, int], str],
    ) -> Repeats:
        pairs = zip(here[:SHOWN].tolist(), there[:SHOWN].tolist(), strict=True)
        first = tuple(Pair(self.place(row, name), self.place(earlier, name)) for row, earlier in pairs)
        return Repeats(PARTS[part], PARTS[other], len(here), first)


def _of(values: array[int]) -> NDArray[np.int64]:
    """The values as numpy sees them, without a copy."""
    return np.frombuffer(values, dtype=np.dtype(values.typecode)) if len(values) else np.zeros(0, dtype=np.int64)


def _again(keys: NDArray[np.int64], places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places whose key was there before, ascending, and where it was first."""
    own = keys[places]
    order = np.argsort(own, kind="stable")
    begins = np.concatenate([[True], own[order][1:] != own[order][:-1]])
    first = places[order][np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    here, there = places[order][~begins], first[~begins]
    ascending = np.argsort(here)
    return here[ascending], there[ascending]


def _also(
    keys: NDArray[np.int64], here: NDArray[np.int64], there: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places in `here` whose key is in `there`, too, and where it is first there."""
    known, first = np.unique(keys[there], return_index=True)
    place = np.minimum(np.searchsorted(known, keys[here]), len(known) - 1)
    equal = known[place] == keys[here]
    return here[equal], there[first[place[equal]]]
