"""A random sample of examples, and the longest ones."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks import Example

SIZE = 10_000
"""Examples whose tokens are counted; of more, a random sample of this many."""
LONGEST = 3


@dataclass(frozen=True, slots=True, order=True)
class Sampled:
    """An example and where it is from; ordered by its place among all."""

    order: int
    part: int = field(compare=False)
    source: int = field(compare=False)
    number: int = field(compare=False)
    example: Example = field(compare=False)


class Sample:
    """A uniform sample (reservoir sampling: Vitter 1985, algorithm R), the same in every run, and the rows with most characters."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._random = random.Random(0)  # noqa: S311 (no secret)
        self._kept: list[Sampled] = []
        self._longest: list[tuple[int, int, Sampled]] = []
        self._seen = 0

    def add(self, part: int, source: int, number: int, example: Example, characters: int) -> None:
        """Looks at an example."""
        order = self._seen
        self._seen += 1
        if order < self._size:
            self._kept.append(Sampled(order, part, source, number, example))
        else:
            place = int(self._random.random() * self._seen)
            if place < self._size:
                self._kept[place] = Sampled(order, part, source, number, example)
        if len(self._longest) < LONGEST or characters > self._longest[0][0]:
            heapq.heappush(self._longest, (characters, -order, Sampled(order, part, source, number, example)))
            if len(self._longest) > LONGEST:
                heapq.heappop(self._longest)

    @property
    def is_whole(self) -> bool:
        """Whether every example is in the sample."""
        return self._seen <= self._size

    def examples(self) -> Sequence[Sampled]:
        """The sample, in the order in which it was read."""
        return sorted(self._kept)

    def longest(self) -> Sequence[Sampled]:
        """The examples with most characters, the longest first."""
        return [sampled for _, _, sampled in sorted(self._longest, key=lambda item: (-item[0], -item[1]))]
