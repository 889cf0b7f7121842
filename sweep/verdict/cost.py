"""What the arms of a ladder cost as measured, beside the order that was declared before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sweep.methods import FULL
from sweep.records import rung_words
from sweep.verdict.figures import capitalized, figure, percent
from sweep.verdict.ladder import RankResult
from sweep.verdict.record import State

_OF: Mapping[str, tuple[Callable[[RankResult], float], str]] = {
    "adapter_bytes": (lambda row: row.adapter_bytes, "bytes"),
    "trainable_parameters": (lambda row: row.trainable_parameters, "trained parameters"),
    "train_seconds": (lambda row: row.train_seconds, "training time"),
    "peak_memory": (lambda row: row.peak_memory_bytes, "peak memory"),
}


@dataclass(frozen=True, slots=True)
class OutOfOrder:
    """Two methods whose measured costs are not in the order declared.

    Attributes:
        first: the one that was declared to be cheaper.
    """

    first: RankResult
    second: RankResult
    cost: str

    def words(self) -> str:
        """Both costs, in a sentence."""
        names = f"{capitalized(rung_words(self.first.rank))} was declared cheaper than {rung_words(self.second.rank)}"
        first, second = (figure(measured(row, self.cost)) for row in (self.first, self.second))
        if measured(self.first, self.cost) == measured(self.second, self.cost):
            return (
                f"{names}, costs the same and turned out to need a larger base: {self.first.base_bytes:,} against "
                f"{self.second.base_bytes:,} bytes."
            )
        return f"{names} and turned out to cost more: {self.cost} {first} against {second}."


def measured(row: RankResult, cost: str) -> float:
    """What a step of a ladder of arms costs, as its trials measured it: bytes, parameters or seconds."""
    return float(_OF[cost][0](row))


def out_of_order(rows: Sequence[RankResult], cost: str) -> list[OutOfOrder]:
    """Every pair of methods whose measured costs are not in the order of the ladder; of equal costs the smaller base comes first."""
    pairs = combinations(rows, 2)

    def key(row: RankResult) -> tuple[float, int]:
        return measured(row, cost), row.base_bytes

    return [OutOfOrder(*pair, cost) for pair in pairs if key(pair[0]) > key(pair[1])]


def may_be_cheaper(disorder: Sequence[OutOfOrder], chosen: int | None) -> list[OutOfOrder]:
    """Of these, the pairs that put the answer in doubt: a method that is not shown to be worse costs less than the chosen one."""
    return [pair for pair in disorder if pair.first.rank == chosen and pair.second.state is not State.INFERIOR]


def cost_words(rows: Sequence[RankResult], chosen: int | None, cost: str) -> str | None:
    """`at 1/70 of the bytes of full fine-tuning`: the chosen method's cost beside the most expensive one's; None if it is that one."""
    own = next((row for row in rows if row.rank == chosen), None)
    top = rows[-1] if rows else None
    if own is None or top is None or own.rank == top.rank or measured(own, cost) <= 0:
        return None
    ratio = measured(top, cost) / measured(own, cost)
    if ratio == 1 and own.base_bytes < top.base_bytes:
        return f"on a base of {percent(round(own.base_bytes / top.base_bytes, 3))} of the bytes of that of {rung_words(top.rank)}"
    share = f"1/{ratio:.0f}" if ratio >= 10 else f"1/{ratio:.2g}" if ratio >= 2 else percent(round(1 / ratio, 3))
    return f"at {share} of the {_OF[cost][1]} of {rung_words(top.rank)}"


def gap_to_full(row: RankResult, rows: Sequence[RankResult]) -> float | None:
    """How much higher the loss is than that of full fine-tuning, nats per token; None if that is not in the ladder, or is the method."""
    full = next((each for each in rows if each.method == FULL), None)
    return None if full is None or full.rank == row.rank else row.loss - full.loss
