"""The vocabulary of the statistics: what a verdict says about a ladder of ranks, and about each rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is shown about one rank; about a whole ladder only `certified` or `undecided`."""

    CERTIFIED = "certified"
    INFERIOR = "inferior"
    UNDECIDED = "undecided"


class MarginOf(StrEnum):
    """What the margin is a share of; `metric` margins are absolute points."""

    GAIN = "gain"
    LOSS = "loss"
    METRIC = "metric"


@dataclass(frozen=True, slots=True)
class RankVerdict:
    """What is shown about one rank.

    Attributes:
        seeds: number of seeds used.
        mean: mean loss over seeds and (weighted) examples.
        diff_to_best: mean minus the smallest mean of the ladder.
        upper_bound: upper confidence bound of the difference to the best rank; certified exactly if below the margin. A rank
            that failed its test, or that the sequence of tests did not reach, has no bound below the margin.
        lower_bound: lower confidence bound of that difference; inferior exactly if above the margin. Both bounds are infinite
            where nothing can be bounded (one seed, one example).
    """

    rank: int
    state: State
    seeds: int
    mean: float
    diff_to_best: float
    upper_bound: float = math.inf
    lower_bound: float = -math.inf


@dataclass(frozen=True, slots=True)
class Need:
    """Seeds per rank and certify examples, in total, that would probably close the bracket."""

    seeds: int
    examples: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which ranks are shown to match the best one, within the margin.

    Three statements, each wrong with probability at most `alpha`: no certified rank misses the margin; no rank that keeps
    the margin is called inferior going up from the smallest rank (so `bracket[0]` is not above the smallest good rank);
    none is called inferior going down from the largest.

    Attributes:
        status: `certified` if any rank is, else `undecided`.
        rank: the smallest certified rank, None if there is none.
        bracket: the smallest rank not shown inferior, and the smallest certified rank (the largest of the ladder if none
            is certified). It holds the smallest good rank with probability at least 1 - 2 alpha, alpha on each side.
        margin: as declared: a share of the gain or of the loss, or points of the metric.
        margin_in_loss: the margin in the unit of the losses, at the mean of the best rank.
        level: the one-sided level of the last look's tests; `alpha` if there is only one look.
        ladder: one entry per rank, ascending.
        examples: number of examples that each trial was evaluated on.
        seeds_needed: total number of seeds that would probably close the bracket with the present examples, if the means and
            variances seen so far held; None if nothing is left to decide or no number would do.
        examples_needed: likewise the number of examples, with the present seeds.
        needed: the cheapest combination of seeds and examples that would; None as above, and if the data has too few
            examples.
        reasons: why the bracket is open, one sentence each; empty if it is closed and every declared look was taken.
    """

    status: State
    rank: int | None
    bracket: tuple[int, int]
    margin: float
    margin_of: MarginOf
    alpha: float
    level: float
    margin_in_loss: float
    ladder: tuple[RankVerdict, ...]
    examples: int
    seeds_needed: int | None
    examples_needed: int | None
    needed: Need | None
    reasons: tuple[str, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(each.rank for each in self.ladder)

    @property
    def state(self) -> tuple[State, ...]:
        return tuple(each.state for each in self.ladder)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(each.seeds for each in self.ladder)

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(each.mean for each in self.ladder)

    @property
    def diff_to_best(self) -> tuple[float, ...]:
        return tuple(each.diff_to_best for each in self.ladder)

    @property
    def upper_bound(self) -> tuple[float, ...]:
        return tuple(each.upper_bound for each in self.ladder)

    @property
    def lower_bound(self) -> tuple[float, ...]:
        return tuple(each.lower_bound for each in self.ladder)

    @property
    def closed(self) -> bool:
        """Whether nothing is left to decide: the smallest rank not shown inferior is certified."""
        return self.status is State.CERTIFIED and self.bracket[0] == self.bracket[1]


def active_ranks(verdict: Verdict) -> tuple[int, ...]:
    """The ranks for which more seeds can still change the answer; none once the bracket is closed.

    While it is open, every rank that is not shown inferior is needed, also those above the bracket: a rank is certified
    against all of them.
    """
    if verdict.closed or len(verdict.ladder) < 2:
        return ()
    return tuple(each.rank for each in verdict.ladder if each.state is not State.INFERIOR)
