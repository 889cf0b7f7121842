"""Sentences on how far a verdict can be trusted: why there is none, and what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweep.records import Declaration, Rung, rung_words
from sweep.records.evaluation import LEAST_PARAGRAPHS
from sweep.verdict.cost import OutOfOrder
from sweep.verdict.figures import are, capitalized, figure, named
from sweep.verdict.guards import Edge, Flip
from sweep.verdict.ladder import LeftOut
from sweep.verdict.terms import RANKS, Terms, terms_of

_SEED_LIMIT = re.compile(r"certify\.seeds=(\d+)")


def nothing_certified(terms: Terms) -> str:
    """No step of the ladder is certified."""
    return f"No {terms.one} is certified yet."


def every_recipe_once(terms: Terms) -> str:
    """Nothing was repeated."""
    return f"Every recipe was trained with one seed, so a difference between {terms.many} can be chance."


def not_tuned(terms: Terms) -> str:
    """Rates were not tuned."""
    return f"The learning rate was not tuned per {terms.one}, so a {terms.one} can look worse than it is."


def not_certified(terms: Terms) -> str:
    """The certify stage has no result."""
    return f"No {terms.one} was evaluated on the certify split."


def edge(at: Edge) -> str:
    """A rank's best rate is at an edge."""
    beyond, change, end = ("higher", "raise", "high") if at.side == "highest" else ("lower", "lower", "low")
    widen = f"{change} search.space.learning_rate.{end}"
    if isinstance(at.rank, Rung):
        widen = f"give it a {beyond} learning_rate in certify.ladder to begin with"
    return (
        f"{capitalized(rung_words(at.rank))} does best at the {at.side} learning rate allowed ({at.learning_rate:.1e}) and may do "
        f"better with a {beyond} one: {widen}."
    )


def flip(other: Flip) -> str:
    """The answer would be another one with a neighbouring rate."""
    lower = (
        f"on tune, its loss at learning rate {other.neighbour:.1e} was {figure(other.better)} lower than at "
        f"{other.learning_rate:.1e}, the rate of its certify trials"
    )
    whose = capitalized(rung_words(other.rank))
    if other.enters:
        return f"{whose} may be enough: {lower}."
    return f"{whose} may be better than it looks: {lower}. The chosen {terms_of([other.rank]).one} would then miss the margin."


def changed(first: Declaration, later: Declaration) -> str:
    """The present declaration differs from the first."""
    limits = first.max_forgetting, later.max_forgetting
    what, show = "margin", _declared
    if limits[0] != limits[1]:
        what = "limit of forgetting" if _declared(first) == _declared(later) else "margin and the limit of forgetting"
        show = _limit if _declared(first) == _declared(later) else _both
    return (
        f"The {what} was changed after there were results, from {show(first)} to {show(later)}. The verdict uses the one "
        "declared first."
    )


def _declared(declaration: Declaration) -> str:
    return f"{declaration.margin:g} of {declaration.margin_of} (alpha {declaration.alpha:g})"


def _limit(declaration: Declaration) -> str:
    limit = declaration.max_forgetting
    return "none" if limit is None else f"{limit:g} nats per token"


def _both(declaration: Declaration) -> str:
    return f"{_declared(declaration)}, {_limit(declaration)}"


def not_cheapest(pair: OutOfOrder) -> str:
    """The chosen method costs more than one that may be enough, too."""
    return (
        f"{capitalized(rung_words(pair.second.rank))} may be the cheaper one that is enough. {pair.words()} Write "
        "certify.ladder in the order measured."
    )


def pending(ranks: Sequence[int]) -> str:
    """Ranks of the ladder that are not trained yet."""
    return f"{capitalized(named(ranks))} {are(ranks)} not fully trained yet."


def no_look(seeds: int, terms: Terms) -> str:
    """Nothing was computed yet."""
    return f"The verdict is not computed yet: {seeds} seed{'s' if seeds != 1 else ''} per {terms.one} so far."


def one_seed(terms: Terms) -> str:
    """The variance between seeds is unknown."""
    return f"With one seed per {terms.one}, a difference between {terms.many} can be chance: set certify.seeds to 3 or more."


def no_prose() -> str:
    """A limit of forgetting needs the rise on each of several paragraphs."""
    return (
        f"The trials do not hold the loss of each of {LEAST_PARAGRAPHS} paragraphs of general prose, so certify.max_forgetting cannot be "
        "tested: they were evaluated by an earlier version, or on fewer. Another evaluate.general_paragraphs evaluates them again."
    )


def too_forgetful(limit: float, terms: Terms) -> str:
    """No step of the ladder keeps enough and forgets little enough."""
    return (
        f"No {terms.one} is certified: every one that may keep enough is shown to forget more than the {limit:g} nats per token that are "
        "allowed."
    )


def no_other(ranks: Sequence[int], terms: Terms) -> str:
    """There is nothing to compare a rank with."""
    return (
        f"{capitalized(named(ranks))} is the only one that could be compared."
        if ranks
        else f"No {terms.one} could be compared."
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
    return no_look(seeds, RANKS)


def no_base() -> str:
    """A share of the gain needs the base."""
    return "The unadapted base was not evaluated on certify, so the gain from fine-tuning is unknown."


def no_gain(base: float, best: float, rank: int) -> str:
    """A share of nothing is no margin."""
    of_best = f"the best rank ({rank})" if terms_of([rank]) is RANKS else f"the best method, {rank},"
    return (
        f"Fine-tuning gains nothing here: the base's loss is {base:.4f}, that of {of_best} {best:.4f}. A margin cannot be "
        "a share of that."
    )


def no_metric_test(metric: str, terms: Terms, *, answers: bool) -> str:
    """Why ranks were not compared in the task metric."""
    if not answers:
        return f"There is no {metric} per example, so {terms.many} were not compared in it."
    return f"The metric {metric} is not a mean of scores per example, so {terms.many} were not compared in it."


def no_exchange(metric: str, terms: Terms) -> str:
    """Why ranks were not compared in the task metric, if the margin has no known worth in it."""
    return f"These trials do not show how much {metric} the margin is worth, so {terms.many} were not compared in it."


def stopped(reason: str, terms: Terms) -> str:
    """Why no more seeds were added.

    Args:
        reason: as the study has recorded it, in this version or an earlier one.
    """
    if reason.endswith("."):  # why more seeds would be futile
        return reason
    limit = _SEED_LIMIT.search(reason)
    if limit is not None:
        return f"Stopped at the limit of {limit[1]} seeds per {terms.one} (certify.seeds={limit[1]})."
    return f"Stopped early: {reason}."


def wider_margin(margin: float) -> str:
    """A margin that needs nothing more to be decided."""
    return (
        f"With certify.margin={margin:g}, what was measured decides it: take that only if a rank that much worse would do, in a study of "
        "another name (trained adapters are used again)."
    )


def left(one: LeftOut) -> str:
    """Why a rank could not be compared."""
    what = "does not fit into memory" if one.status == "infeasible" else "could not be compared"
    return f"{capitalized(rung_words(one.rank))} {what} ({one.status}: {one.reason})."
