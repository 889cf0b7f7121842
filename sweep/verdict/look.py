"""What a look at a batch of studies shows, and what the sequences of tests for both kinds of ladder share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from sweep.verdict.bounds import Array, Mask, Side


@dataclass(frozen=True, slots=True)
class Look:
    """What one look shows. All arrays (studies, ranks); bounds are of the contrast: rank minus reference minus margin.

    Attributes:
        certified: reached by the sequence of tests, and below the margin.
        inferior: shown inferior.
        upper: upper bound of the worst contrast.
        lower: lower bound of a contrast; minus infinity if there is none.
        better: shown to have a lower loss than the uncut adapter; none in a trained ladder.
    """

    certified: Mask
    inferior: Mask
    upper: Array
    lower: Array
    better: Mask


class Contrasts(Protocol):
    """What a look is made from: the estimated contrasts of a batch of studies."""

    @property
    def seeds(self) -> int:
        """Number of seeds of each rank that is judged."""

    @property
    def judged(self) -> Mask:
        """(studies, ranks), ranks that this look estimates."""

    def look(
        self,
        level: float | Array,
        certified: Mask,
        seeds: float | Array | None = None,
        luck: float = 0.0,
        fresh: float = 0.0,
    ) -> Look:
        """Applies the sequence of tests at one level.

        Args:
            level: one-sided level of this look; one number, or (studies, 1).
            certified: (studies, ranks), ranks certified at an earlier look: they stay so, and count as passed.
            seeds: a hypothetical number of seeds; one number, or (studies, 1). With it, `luck` standard errors of the seeds and
                examples to come are added to the half-widths.
            luck: see `seeds`.
            fresh: the share of the examples that are to come.
        """

    def with_examples(self, times: float) -> Self:
        """The contrasts if there were `times` as many examples, the same on average."""

    def repeated(self, times: int) -> Self:
        """Every study this many times."""

    def left_by_examples(self, place: int, level: float, seeds: float) -> tuple[float, float]:
        """Of the first study and the rank at this place: its worst contrast with this many seeds, and what examples add to its bound."""


class Widths(Protocol):
    """Estimates of contrasts that have confidence bounds; see `bounds.Estimates`."""

    @property
    def paired(self) -> Array: ...

    @property
    def examples(self) -> Array: ...

    @property
    def seeds(self) -> int: ...

    def half_width(self, side: Side, level: float | Array, seeds: float | Array | None = None) -> Array: ...


def widths(
    of: Widths, side: Side, level: float | Array, seeds: float | Array | None, luck: float, fresh: float
) -> Array:
    """Half-widths of bounds; see `Contrasts.look` for a hypothetical number of seeds."""
    width = of.half_width(side, level, seeds)
    if seeds is None or luck == 0:
        return width
    of_seeds = of.paired * np.maximum(np.asarray(seeds) - of.seeds, 0) / np.asarray(seeds) ** 2
    to_come: Array = np.sqrt(of_seeds + of.examples * fresh)
    return width + luck * to_come


def from_the_top(passes: Mask) -> Mask:
    """Whether a rank and all larger ones pass."""
    return np.logical_and.accumulate(passes[:, ::-1], axis=1)[:, ::-1]


def is_closed(shown: Look) -> Mask:
    """(studies,): whether the smallest rank not shown inferior is certified."""
    first = np.argmax(~shown.inferior, axis=1)
    closed: Mask = np.take_along_axis(shown.certified, first[:, None], axis=1)[:, 0]
    return closed
