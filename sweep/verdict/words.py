"""Sentences on how far a verdict can be trusted: why there is none, and what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweep.records import Declaration
from sweep.verdict.figures import are, capitalized, figure, named
from sweep.verdict.guards import Edge, Flip
from sweep.verdict.ladder import LeftOut

_SEED_LIMIT = re.compile(r"certify\.seeds=(\d+)")

ONE_SEED = "Every recipe was trained with one seed, so a difference between ranks can be chance."
NOT_TUNED = "The learning rate was not tuned per rank, so a rank can look worse than it is."
NOT_CERTIFIED = "No rank was evaluated on the certify split."


def edge(at: Edge) -> str:
    """A rank's best rate is at an edge."""
    beyond, change, end = ("higher", "raise", "high") if at.side == "highest" else ("lower", "lower", "low")
    return (
        f"Rank {at.rank} does best at the {at.side} learning rate allowed ({at.learning_rate:.1e}) and may do better with a {beyond} "
        f"one: {change} search.space.learning_rate.{end}."
    )


def flip(other: Flip) -> str:
    """The answer would be another one with a neighbouring rate."""
    lower = (
        f"on tune, its loss at learning rate {other.neighbour:.1e} was {figure(other.better)} lower than at "
        f"{other.learning_rate:.1e}, the rate of its certify trials"
    )
    if other.enters:
        return f"Rank {other.rank} may be enough: {lower}."
    return f"Rank {other.rank} may be better than it looks: {lower}. The chosen rank would then miss the margin."


def changed(first: Declaration, later: Declaration) -> str:
    """The present declaration differs from the first."""
    return (
        f"The margin was changed after there were results, from {_declared(first)} to {_declared(later)}. The verdict uses the one "
        "declared first."
    )


def _declared(declaration: Declaration) -> str:
    return f"{declaration.margin:g} of {declaration.margin_of} (alpha {declaration.alpha:g})"


def pending(ranks: Sequence[int]) -> str:
    """Ranks of the ladder that are not trained yet."""
    return f"{capitalized(named(ranks))} {are(ranks)} not fully trained yet."


def no_look(seeds: int) -> str:
    """Nothing was computed yet."""
    return f"The verdict is not computed yet: {seeds} seed{'s' if seeds != 1 else ''} per rank so far."


def one_seed() -> str:
    """The variance between seeds is unknown."""
    return "With one seed per rank, a difference between ranks can be chance: set certify.seeds to 3 or more."


def no_other(ranks: Sequence[int]) -> str:
    """There is nothing to compare a rank with."""
    return (
        f"{capitalized(named(ranks))} is the only one that could be compared."
        if ranks
        else "No rank could be compared."
    )


def no_reference(rank: int, left_out: Sequence[LeftOut], seeds: int) -> str:
    """There is no uncut adapter to compare cuts with.

    Args:
        seeds: how many are trained so far.
    """
    for one in left_out:
        if one.rank == rank:
            what = "it does not fit into memory" if one.status == "infeasible" else one.reason
            return (
                f"Rank {rank}, which smaller ranks are cut from and compared with, has a trial without a result ({one.status}: {what}). "
                "Set a smaller certify.ladder, or train each rank: certify.ladder_by=train."
            )
    return no_look(seeds)


def no_base() -> str:
    """A share of the gain needs the base."""
    return "The unadapted base was not evaluated on certify, so the gain from fine-tuning is unknown."


def no_gain(base: float, best: float, rank: int) -> str:
    """A share of nothing is no margin."""
    return (
        f"Fine-tuning gains nothing here: the base's loss is {base:.4f}, that of the best rank ({rank}) {best:.4f}. A margin cannot be "
        "a share of that."
    )


def no_metric_test(metric: str, answers: bool) -> str:
    """Why ranks were not compared in the task metric."""
    if not answers:
        return f"There is no {metric} per example, so ranks were not compared in it."
    return f"The metric {metric} is not a mean of scores per example, so ranks were not compared in it."


def no_exchange(metric: str) -> str:
    """Why ranks were not compared in the task metric, if the margin has no known worth in it."""
    return f"These trials do not show how much {metric} the margin is worth, so ranks were not compared in it."


def stopped(reason: str) -> str:
    """Why no more seeds were added.

    Args:
        reason: as the study has recorded it, in this version or an earlier one.
    """
    if reason.endswith("."):  # why more seeds would be futile
        return reason
    limit = _SEED_LIMIT.search(reason)
    if limit is not None:
        return f"Stopped at the limit of {limit[1]} seeds per rank (certify.seeds={limit[1]})."
    return f"Stopped early: {reason}."


def left(one: LeftOut) -> str:
    """Why a rank could not be compared."""
    what = "does not fit into memory" if one.status == "infeasible" else "could not be compared"
    return f"Rank {one.rank} {what} ({one.status}: {one.reason})."
