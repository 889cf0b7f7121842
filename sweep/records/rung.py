"""A step of a ladder that is no rank: an arm of any method, at its place in the order of cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep.records.arm import Arm


@dataclass(frozen=True, slots=True)
class LadderArm:
    """An arm of `certify.ladder`.

    Attributes:
        arm: the recipe; its learning rate is 0, since that is tuned.
        words: its name for people, such as `prompt tuning (16 tokens)`.
        learning_rate: the rate that tuning begins with.
        rates: lowest and highest rate of the method's search; tuning may go a little beyond.
        cost: in the unit of `Declaration.cost`, known before anything is trained; None if it has to be measured.
    """

    arm: Arm
    words: str
    learning_rate: float
    rates: tuple[float, float]
    cost: float | None = None


class Rung(int):
    """A step of a ladder of arms: its place in the order of cost, from 1, with the arm.

    The steps of a ladder of ranks are its ranks, plain integers. Both are ordered, so the statistics need not tell them apart; what is
    shown to people must, with `rung_words`. The text of either (`str`) is its name in a table or on an axis.

    Attributes:
        of: the arm.
    """

    of: LadderArm

    def __new__(cls, place: int, of: LadderArm) -> Rung:
        rung = super().__new__(cls, place)
        rung.of = of
        return rung

    def __getnewargs__(self) -> tuple[int, LadderArm]:  # type: ignore[override]
        return int(self), self.of

    def __str__(self) -> str:
        return self.of.words

    def __repr__(self) -> str:
        return f"Rung({int(self)}, {self.of.words!r})"


def rung_words(rung: int) -> str:
    """A step of a ladder in a sentence: `rank 8`, or the arm's name."""
    return rung.of.words if isinstance(rung, Rung) else f"rank {rung}"


def arm_at(rung: int, recipe: Arm, learning_rate: float) -> Arm:
    """The arm of a step, with this learning rate.

    Args:
        recipe: of a ladder of ranks, what all its ranks share.
    """
    if isinstance(rung, Rung):
        return replace(rung.of.arm, learning_rate=learning_rate)
    return replace(recipe, rank=rung, learning_rate=learning_rate)
