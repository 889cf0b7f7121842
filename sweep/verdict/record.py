"""The vocabulary of the statistics: what a verdict says about a ladder of ranks, and about each rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is shown about one rank; about a whole ladder only `certified` or `undecided`.

    `forgets` is a rank that is not shown to be inferior, but to forget more than `certify.max_forgetting` allows.
    """

    CERTIFIED = "certified"
    INFERIOR = "inferior"
    FORGETS = "forgets"
    UNDECIDED = "undecided"


EXCLUDED = (State.INFERIOR, State.FORGETS)
"""The states of ranks that are shown not to be the answer."""


class Limited(StrEnum):
    """What is shown about a rank's forgetting, beside its limit."""

    BELOW = "below"
    ABOVE = "above"
    OPEN = "open"


class MarginOf(StrEnum):
    """What the margin is a share of; `metric` margins are absolute points."""

    GAIN = "gain"
    LOSS = "loss"
    METRIC = "metric"


class LadderBy(StrEnum):
    """How the smaller ranks of a ladder were made: each trained, or cut from the adapters of the largest."""

    TRAIN = "train"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class RankForgetting:
    """What is shown about one rank's forgetting: the rise of its loss on general prose, in nats per token.

    Attributes:
        state: below the limit, above it, or neither.
        seeds: number of seeds used.
        rise: mean over seeds and paragraphs.
        lower, upper: its one-sided confidence bounds, each at the level of the look that decided it, or of the last one.
    """

    state: Limited
    seeds: int
    rise: float
    lower: float = -math.inf
    upper: float = math.inf


@dataclass(frozen=True, slots=True)
class RankVerdict:
    """What is shown about one rank.

    Attributes:
        seeds: number of seeds used.
        mean: mean loss over seeds and (weighted) examples.
        diff_to_best: mean minus the smallest mean of the ladder; in a cut ladder minus that of the uncut adapters of the same
            seeds, below zero if cutting helps.
        upper_bound: upper confidence bound of the difference to the best rank (in a cut ladder to the uncut adapters); certified
            exactly if below the margin. A rank that failed its test, or that the sequence of tests did not reach, has no bound
            below the margin.
        lower_bound: lower confidence bound of that difference; inferior exactly if above the margin. Both bounds are infinite
            where nothing can be bounded (one seed, one example).
        forgetting: with a limit of forgetting what is shown about that; None without one.
    """

    rank: int
    state: State
    seeds: int
    mean: float
    diff_to_best: float
    upper_bound: float = math.inf
    lower_bound: float = -math.inf
    forgetting: RankForgetting | None = None


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
        margin_in_loss: the margin in the unit of the losses, at the mean of the best rank (in a cut ladder, of the uncut adapters).
        level: the one-sided level of the last look's tests; `alpha` if there is only one look.
        ladder: one entry per rank, ascending.
        examples: number of examples that each trial was evaluated on.
        seeds_needed: total number of seeds that would probably close the bracket with the present examples, if the means and
            variances seen so far held; None if nothing is left to decide or no number would do.
        examples_needed: likewise the number of examples, with the present seeds.
        needed: the cheapest combination of seeds and examples that would; None as above, and if the data has too few
            examples.
        reasons: why the bracket is open, one sentence each; empty if it is closed and every declared look was taken.
        ladder_by: `train` or `cut`.
        better: cut ranks shown to have a lower loss than the uncut adapters, at `alpha` for all of them together.
        hands_out: the rank to hand out: `rank`, unless that is worse by more than the margin than a cut shown to be better than
            the uncut adapters. None if `rank` is.
        futile: a sentence that says why more seeds should not be trained: up to the limit they would probably decide nothing. None
            if they may, or if no limit was given.
        max_forgetting: with a limit of forgetting, which a certified rank is shown to stay below: the limit; None without one.
        on_loss: with such a limit the verdict on the losses alone; None without one.
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
    ladder_by: LadderBy = LadderBy.TRAIN
    better: tuple[int, ...] = ()
    hands_out: int | None = None
    futile: str | None = None
    max_forgetting: float | None = None
    on_loss: Verdict | None = None

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
    def most_seeds(self) -> int:
        """The largest number of seeds that a rank was judged with."""
        return max(max(each.seeds, each.forgetting.seeds if each.forgetting else 0) for each in self.ladder)

    @property
    def exhausted(self) -> bool:
        """Whether every rank is shown to be inferior or to forget too much."""
        return self.max_forgetting is not None and all(each.state in EXCLUDED for each in self.ladder)

    @property
    def closed(self) -> bool:
        """Whether nothing is left to decide: the smallest rank that is not excluded is certified, or every rank is excluded."""
        return self.exhausted or (self.status is State.CERTIFIED and self.bracket[0] == self.bracket[1])


def active_ranks(verdict: Verdict) -> tuple[int, ...]:
    """The ranks that the next look needs more seeds of; none once the bracket is closed.

    While a trained ladder is open, every rank that is not shown inferior is needed, also those above the bracket: a rank is
    certified against all of them. Of a cut ladder the open ranks are needed, and the largest: a seed is one training at the
    largest rank, cut to the open ones. With a limit of forgetting, ranks that may be the answer are needed whichever part is open.
    """
    if verdict.closed or len(verdict.ladder) < 2:
        return ()
    if verdict.on_loss is not None:
        waiting = {each.rank for each in verdict.ladder if each.state is State.UNDECIDED}
        waiting = {rank for rank in waiting if verdict.rank is None or rank < verdict.rank}
        waiting |= {*active_ranks(verdict.on_loss), *(verdict.ranks[-1:] if verdict.ladder_by is LadderBy.CUT else ())}
        return tuple(rank for rank in verdict.ranks if rank in waiting)
    if verdict.ladder_by is LadderBy.CUT:
        top = verdict.ranks[-1]
        return tuple(each.rank for each in verdict.ladder if each.state is State.UNDECIDED or each.rank == top)
    return tuple(each.rank for each in verdict.ladder if each.state is not State.INFERIOR)
