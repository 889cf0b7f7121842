"""What makes a certified rank provisional: a best rate at the edge of its range, or a neighbouring rate that flips the answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sweep.records import Certification, RateChoice, Rung
from sweep.verdict.record import LadderBy, MarginOf, State, Verdict

_SAME_RATE = 0.4
"""Rates at most this many doublings apart count as one (`sweep.study.rates.NEAR`)."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A rank whose best rate is at the edge of what may be tried.

    Attributes:
        side: `highest` or `lowest`.
    """

    rank: int
    learning_rate: float
    side: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A rank that would change the answer if it had been trained with a neighbouring learning rate.

    Attributes:
        neighbour: that rate.
        better: how much lower the loss on tune was with it, nats per token.
        enters: True if a smaller rank would then keep the margin, False if the chosen one would then miss it.
    """

    rank: int
    learning_rate: float
    neighbour: float
    better: float
    enters: bool


def edges(certification: Certification, verdict: Verdict) -> list[Edge]:
    """The ranks that the answer rests on and whose rate is at an edge.

    The answer rests on the bracket, on the rank just below it, which was shown too small, and on the larger ranks, which the
    chosen one was compared with: a better rate for any of them could change it. A cut ladder has one rate, the largest rank's.
    """
    if verdict.ladder_by is LadderBy.CUT:
        return list(_at_edge(certification, verdict.ranks[-1:]))
    below = [rank for rank in verdict.ranks if rank < verdict.bracket[0]]
    resting = [rank for rank in verdict.ranks if rank >= verdict.bracket[0]]
    return list(_at_edge(certification, (*below[-1:], *resting)))


def _at_edge(certification: Certification, ranks: Iterable[int]) -> Iterator[Edge]:
    for rank in ranks:
        choice = certification.rate_of(rank)
        if choice is not None and choice.at_edge:
            usual = rank.of.learning_rate if isinstance(rank, Rung) else certification.recipe.learning_rate
            yield Edge(rank, choice.learning_rate, _side(choice, usual))


def flips(certification: Certification, verdict: Verdict) -> list[Flip]:
    """The ranks that would flip the answer with a neighbouring learning rate.

    Only rates that were tried on tune count, and only for ranks whose own rate was tried there, too. A margin in points of the task
    metric cannot be compared with losses on tune. In a cut ladder, another rate would move the cuts along with what they are cut from.
    """
    if verdict.rank is None or verdict.margin_of is MarginOf.METRIC or verdict.ladder_by is LadderBy.CUT:
        return []
    by_rank = {one.rank: one for one in verdict.ladder}
    chosen = by_rank[verdict.rank].mean
    flipping = []
    for rank, one in by_rank.items():
        choice = certification.rate_of(rank)
        may_flip = choice is not None and rank != verdict.rank and one.state is not State.FORGETS
        step = _better_neighbour(choice) if choice is not None and may_flip else None
        if step is None or choice is None:
            continue
        neighbour, better = step
        enters = rank < verdict.rank and one.diff_to_best - better <= verdict.margin_in_loss
        leaves = rank > verdict.rank and chosen - (one.mean - better) > verdict.margin_in_loss
        if enters or leaves:
            flipping.append(Flip(rank, choice.learning_rate, neighbour, better, enters))
    return flipping


def _side(choice: RateChoice, usual: float) -> str:
    rates = [rate for rate, _ in choice.tried]
    if rates and choice.learning_rate >= max(rates) > min(rates):
        return "highest"
    if rates and choice.learning_rate <= min(rates) < max(rates):
        return "lowest"
    return "highest" if choice.learning_rate >= usual else "lowest"


def _better_neighbour(choice: RateChoice) -> tuple[float, float] | None:
    """The next rate below or above with a lower loss on tune than the chosen one, and the difference."""

    def apart(rate: float) -> float:
        return math.log2(rate / choice.learning_rate)

    own = [(rate, loss) for rate, loss in choice.tried if abs(apart(rate)) <= _SAME_RATE]
    if not own:
        return None
    nearest = min(own, key=lambda pair: abs(apart(pair[0])))[1]
    lower = [pair for pair in choice.tried if apart(pair[0]) < -_SAME_RATE]
    higher = [pair for pair in choice.tried if apart(pair[0]) > _SAME_RATE]
    neighbours = [*([max(lower)] if lower else []), *([min(higher)] if higher else [])]
    best = min(neighbours, key=lambda pair: pair[1], default=None)
    return (best[0], nearest - best[1]) if best is not None and best[1] < nearest else None
