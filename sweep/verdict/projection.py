"""How many seeds and certify examples would probably close the bracket, if the means and variances seen so far held.

More seeds shrink the part of the variance that stems from seeds, more examples the part that stems from examples. Either alone
may not suffice, and costs differ: a seed is a training for each open rank, an example is only evaluated with existing adapters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from sweep.verdict.bounds import Mask
from sweep.verdict.look import Contrasts, is_closed
from sweep.verdict.record import Need

MOST = 512
"""Maximum number of seeds that is tried."""

MOST_TIMES = 64
"""Maximum number of examples that is tried, in multiples of the present number."""

PROBABLY = 0.8

UNLIKELY = 0.2
"""A chance below this is not worth more seeds."""

_STEP = 1.25
"""Ratio between successive numbers of examples that are tried."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would probably close the bracket.

    Attributes:
        enough: pairs that would do, none better in both numbers than another; by examples, the present number first.
        seeds: present number.
        examples: present number.
    """

    enough: tuple[Need, ...]
    seeds: int
    examples: int

    @property
    def seeds_alone(self) -> int | None:
        """Number of seeds that would do with the present examples."""
        return next((need.seeds for need in self.enough if need.examples == self.examples), None)

    @property
    def examples_alone(self) -> int | None:
        """Number of examples that would do with the present seeds."""
        return next((need.examples for need in self.enough if need.seeds == self.seeds), None)

    def cheapest(self, cost: Callable[[Need], float], available: int | None) -> Need | None:
        """The cheapest pair.

        Args:
            available: number of examples in the data, None if unknown.
        """
        obtainable = [
            need for need in self.enough if available is None or need.examples <= max(available, self.examples)
        ]
        return min(obtainable, key=cost, default=None)


def outlook(
    given: Contrasts, certified: Mask, level: Callable[[int, int], float], examples: int, counts: Sequence[int]
) -> Outlook:
    """What it would take to close the bracket.

    Seeds and examples to come are drawn around the means seen so far; each test is asked to succeed with probability
    `PROBABLY`, at the level that the look will have. The share of the seeds' variance that is interaction with examples,
    which more examples would shrink as well, is left as it is.

    Args:
        given: one study.
        certified: (1, ranks), ranks certified already.
        level: of a further look, given its seeds and examples.
        examples: number that each trial was evaluated on.
        counts: numbers of examples to try, ascending, see `example_counts`.
    """
    there = given.seeds

    def seeds_with(count: int, fewer_than: int) -> int | None:
        totals = [total for total in _totals(there, exact=count == examples) if total < fewer_than]
        return _seeds_needed(given, certified, lambda seeds: level(seeds, count), totals, count / examples)

    enough: list[Need] = []
    least = seeds_with(counts[-1], MOST + 1)  # no number of examples makes do with fewer
    for count in counts:
        fewest = enough[-1].seeds if enough else MOST + 1
        if enough and (least is None or fewest <= least):
            break
        seeds = seeds_with(count, fewest)
        if seeds is not None:
            enough.append(Need(seeds, count))
        elif least is None:
            break
    return Outlook(tuple(enough), there, examples)


def example_counts(examples: int, available: int | None) -> Sequence[int]:
    """Numbers of examples to try, the present one first; the number that the data has is among them, larger ones follow."""
    steps = int(math.log(MOST_TIMES, _STEP)) + 1
    tried = {_rounded_up(examples * _STEP**step) for step in range(1, steps + 1)}
    more = {*tried, *([available] if available is not None else [])}
    return [examples, *sorted(count for count in more if count > examples)]


def _rounded_up(count: float) -> int:
    """To two significant digits."""
    digit: int = 10 ** max(int(math.log10(count)) - 1, 0)
    return int(math.ceil(count / digit) * digit)


def _totals(there: int, *, exact: bool) -> list[int]:
    """Numbers of seeds to try, each at first, then by and by fewer of them; beside more examples the present number, too."""
    if exact:
        first, each, rest = there + 1, max(there, 32), 40
    else:
        first, each, rest = there, there + 6, 20
    more = np.unique(np.geomspace(each + 1, MOST, rest).astype(int)).tolist() if each < MOST else []
    return sorted({*range(first, each + 1), *more})


def _seeds_needed(
    given: Contrasts, certified: Mask, level: Callable[[int], float], totals: Sequence[int], times: float
) -> int | None:
    """The first of these numbers of seeds that closes the bracket, with the examples multiplied by `times`; None if none does."""
    if not totals:
        return None
    larger = given if times == 1 else given.with_examples(times)
    levels = np.array([level(total) for total in totals])[:, None]
    shown = larger.repeated(len(totals)).look(
        levels,
        np.repeat(certified, len(totals), axis=0),
        np.array(totals)[:, None],
        float(ndtri(PROBABLY)),
        fresh=1 - 1 / times,
    )
    closing = is_closed(shown)
    return totals[int(np.argmax(closing))] if closing.any() else None


def may_decide(
    given: Contrasts, certified: Mask, inferior: Mask, level: Callable[[int, int], float], examples: int, limit: Need
) -> bool:
    """Whether seeds and examples up to a limit may still decide an open rank: with a chance of at least `UNLIKELY`.

    Any further rank certified or shown inferior counts, not the closed bracket alone. The chance is taken from the means and
    variances seen, on the optimistic side: each test is given the luck of its `UNLIKELY` best cases, and the means seen are
    as uncertain as so few seeds leave them (predictive power: Spiegelhalter, Freedman and Blackburn 1986).

    Args:
        given: one study, at its last look.
        certified, inferior: (1, ranks), what is shown already.
        level: of a further look, given its seeds and examples.
        examples: number that each trial was evaluated on.
    """
    times = limit.examples / examples
    larger = given if times == 1 else given.with_examples(times)
    # what the mean may still move, as a share of what `luck` counts: from the mean seen to that of all seeds
    uncertain = math.sqrt(max(limit.seeds / given.seeds, times))
    luck = float(ndtri(UNLIKELY)) * uncertain
    then = larger.look(level(limit.seeds, limit.examples), certified, limit.seeds, luck, fresh=1 - 1 / times)
    return bool(((then.certified | then.inferior) & ~(certified | inferior)).any())
