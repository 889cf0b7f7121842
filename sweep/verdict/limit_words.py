"""The sentences of findings about LoRA's limits."""

from __future__ import annotations

from sweep.records import rung_words
from sweep.verdict.figures import confidence, figure, percent
from sweep.verdict.limits import FarFromFull, RankCeiling
from sweep.verdict.memorized import SMALL_GAIN, Memorized


def far_from_full(far: FarFromFull, margin: float, alpha: float, arms: int) -> str:
    """No LoRA arm reaches full fine-tuning, whatever its rank.

    Args:
        margin: in the unit of the gap.
        arms: number of LoRA arms.
    """
    who = {1: "The only LoRA arm misses", 2: "Both LoRA arms miss"}.get(arms, f"All {arms} LoRA arms miss")
    whose = "It" if arms == 1 else f"The best of them, {rung_words(far.best)},"
    return (
        f"{who} the margin to full fine-tuning: the domain may be too far from what the base knows. {whose} {_gap(far, margin, alpha)} A "
        "larger rank, all linear modules or more steps may close the gap; if not, hand out full fine-tuning."
    )


def rank_ceiling(ceiling: RankCeiling, margin: float, alpha: float) -> str:
    """The larger the rank, the better, up to the end of the ladder."""
    text = (
        f"The loss still falls with LoRA's rank: {rung_words(ceiling.top)} is {figure(ceiling.better)} below "
        f"{rung_words(ceiling.below)} (at least {figure(ceiling.at_least)} with {confidence(alpha)} confidence), and the margin is "
        f"{figure(margin)}."
    )
    if ceiling.far is not None:
        text += f" The best LoRA arm, {rung_words(ceiling.far.best)}, {_gap(ceiling.far, margin, alpha)}"
    return f"{text} A larger rank, or more target modules, may be better still."


def _gap(far: FarFromFull, margin: float, alpha: float) -> str:
    how_sure = f"with {confidence(alpha)} confidence"
    if far.kept is not None and far.kept_at_most is not None:
        return (
            f"keeps {_share(far.kept)} of what full fine-tuning gains (at most {_share(far.kept_at_most)} {how_sure})."
        )
    return (
        f"is {figure(far.gap)} worse (at least {figure(far.at_least)} {how_sure}), and the margin is {figure(margin)}."
    )


def memorized(found: Memorized, alpha: float) -> str:
    """Even the smallest rank learns its examples by heart."""
    return (
        f"The training data are few: {rung_words(found.rank)} memorizes them. In {found.passes:.3g} passes over {found.examples} "
        f"examples, its loss on them falls from {found.first:.2f} to {found.training:.2f}, but on certify only from {found.base:.2f} to "
        f"{found.held_out:.2f}: {_share(found.kept)} of that gain holds for other examples (at most {_share(found.kept_at_most)} with "
        f"{confidence(alpha)} confidence). More training data would help most; fewer steps, more dropout or a smaller rank lose less."
    )


def full_not_tried(gain: tuple[float, float] | None) -> str:
    """Without full fine-tuning in the ladder, nobody knows how much there was to learn.

    Args:
        gain: the losses of the base and of the best rank where the gain is small; None where the loss is still falling with the rank.
    """
    what = "The loss is still falling with the rank."
    if gain is not None:
        what = f"The gain is small: the loss falls from {gain[0]:.3f} to {gain[1]:.3f}, by less than {percent(SMALL_GAIN)} of the base's."
    return f"{what} Whether LoRA falls short, or the data teach no more, only full fine-tuning in the ladder can tell."


def _share(share: float) -> str:
    """`71 %`; nothing below zero, which says that it is worse than the base."""
    return percent(max(0.0, round(share, 3)))
