"""The words of the statistics: what a verdict says about a ladder of ranks, and about each rank."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is shown of one rank; of a whole ladder only `certified` or `undecided`."""

    CERTIFIED = "certified"
    INFERIOR = "inferior"
    UNDECIDED = "undecided"


class MarginOf(StrEnum):
    """What the margin is a share of; `metric` margins are absolute points."""

    GAIN = "gain"
    LOSS = "loss"
    METRIC = "metric"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rank of the ladder as the verdict sees it; the fields are those of `Verdict`."""

    rank: int
    state: State
    seeds: int
    mean: float
    diff_to_best: float
    upper_bound: float
    lower_bound: float


@dataclass(frozen=True, slots=True)
class Need:
    """What would probably close the bracket: seeds a rank and certify examples, those already there included."""

    seeds: int
    examples: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which ranks are shown to be as good as the best one, up to the margin.

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
        level: the one-sided level of the last look's tests; `alpha` where there is one look only.
        ranks: the ladder, ascending. All tuples below have one entry a rank.
        mean: mean loss over seeds and (weighted) examples.
        diff_to_best: mean minus the smallest mean of the ladder.
        upper_bound: upper confidence bound of the difference to the best rank; certified exactly if below the margin. A
            rank that the sequence of tests did not reach, or that failed, has no bound below the margin.
        lower_bound: lower confidence bound of that difference; inferior exactly if above the margin. Bounds are infinite
            where nothing can be bounded (one seed, one example).
        seeds: how many seeds of each rank were used.
        examples: how many examples each trial was scored on.
        seeds_needed: how many seeds in all (those already there included) would probably close the bracket with the examples
            there are, if the means and variances seen so far held; None if nothing is left to decide or no number would do.
        examples_needed: likewise how many examples would, with the seeds there are.
        needed: the cheapest of all numbers of seeds and examples that would, taken together; None as above, and where it takes
            more examples than the data has.
        reasons: why a bracket is open, one sentence each; empty if it is closed and every declared look was taken.
    """

    status: State
    rank: int | None
    bracket: tuple[int, int]
    margin: float
    margin_of: MarginOf
    alpha: float
    level: float
    margin_in_loss: float
    ranks: tuple[int, ...]
    state: tuple[State, ...]
    mean: tuple[float, ...]
    diff_to_best: tuple[float, ...]
    upper_bound: tuple[float, ...]
    lower_bound: tuple[float, ...]
    seeds: tuple[int, ...]
    examples: int
    seeds_needed: int | None
    examples_needed: int | None
    needed: Need | None
    reasons: tuple[str, ...]

    @property
    def ladder(self) -> tuple[Rung, ...]:
        columns = (self.ranks, self.state, self.seeds, self.mean, self.diff_to_best, self.upper_bound, self.lower_bound)
        return tuple(Rung(*row) for row in zip(*columns, strict=True))

    @property
    def closed(self) -> bool:
        """Whether nothing is left to decide: the smallest rank not shown inferior is certified."""
        return self.status is State.CERTIFIED and self.bracket[0] == self.bracket[1]


def active_ranks(verdict: Verdict) -> tuple[int, ...]:
    """The ranks for which more seeds can still change the answer: none once the bracket is closed.

    While it is open, every rank that is not shown inferior is needed, also those above the bracket: a rank is certified
    against all of them.
    """
    if verdict.closed or len(verdict.ranks) < 2:
        return ()
    return tuple(rank for rank, state in zip(verdict.ranks, verdict.state, strict=True) if state is not State.INFERIOR)
