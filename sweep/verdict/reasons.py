"""Why a verdict is open, in sentences for a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sweep.records import rung_words
from sweep.verdict.bounds import Mask
from sweep.verdict.figures import capitalized
from sweep.verdict.look import Contrasts, is_closed
from sweep.verdict.looks import LookState
from sweep.verdict.projection import MOST, MOST_TIMES, Outlook, may_decide
from sweep.verdict.record import MarginOf, Need
from sweep.verdict.table import LossTable
from sweep.verdict.terms import RANKS, terms_of

ENDLESS = 1e9  # seeds


def why_open(
    table: LossTable,
    after: LookState,
    level: float,
    ahead: Outlook,
    needed: Need | None,
    available: int | None,
    too_dear: Need | None = None,
) -> tuple[str, ...]:
    """Sentences, the most basic obstacle first.

    Args:
        after: the state after the last look.
        level: of the last look.
        ahead: what would probably close the bracket.
        needed: the cheapest of it, None if that takes more than the data has.
        available: number of examples in the data, None if unknown.
        too_dear: the cheapest of it, if that costs more than is sensible; `needed` is None then.
    """
    if len(table.ranks) < 2:
        only = capitalized(rung_words(table.ranks[0]))
        return (f"{only} is the only one: there is no other {terms_of(table.ranks).one} to compare it with.",)
    sentences, terms = [], terms_of(table.ranks)
    if table.examples < 2:
        sentences.append("There is only one example, so the effect of the choice of examples is unknown.")
    if min(table.seeds) < 2:
        sentences.append(f"There are fewer than two seeds, so a difference between {terms.many} can be chance.")
    if table.margin.size == 0:
        sentences.append(
            f"With a margin of zero, only a {terms.one} that is shown to be better than every other is certified."
        )
    if after.margin_in_loss < 0:
        sentences.append(
            f"The unadapted base is as good as {'the uncut adapter' if table.is_cut else f'the best {terms.one}'}, so there is no gain to "
            "keep a share of."
            if table.margin.of is MarginOf.GAIN
            else "Losses are negative, so the margin cannot be a share of them."
        )
    if after.last is None or after.margin_in_loss < 0:
        return tuple(sentences)
    blocking = _blocking(table, after)
    if needed is None and not ahead.enough:
        blocking += _left_by_examples(table, after.last, after.certified, level)
    if too_dear is not None:
        return (*sentences, *blocking, _not_worth(table, ahead, too_dear, available))
    return (*sentences, *blocking, _outlook(table, ahead, needed, available))


def not_taken(look: int, few: Sequence[int]) -> str:
    """A look was not taken, for want of seeds at these ranks."""
    at = ", ".join(map(str, few))
    return (
        f"The look at {look} seeds was not taken: too few seeds {'at rank' if terms_of(few) is RANKS else 'of'} {at}."
    )


def why_futile(table: LossTable, after: LookState, later: Callable[[int, int], float], limit: Need) -> str | None:
    """Why seeds up to the limit should not be trained, in a sentence; None if they may decide a rank.

    Args:
        later: the level of a further look, given its seeds and examples.
        limit: seeds, and the examples that the data has.
    """
    last = after.last
    if last is None or limit.seeds <= last.seeds:
        return None
    known = after.certified[None], after.inferior[None]
    for count in {table.examples, limit.examples}:
        if may_decide(last, *known, later, table.examples, Need(limit.seeds, count)):
            return None
    judged = after.certified | after.inferior
    open_ranks = [rank for rank, known in zip(table.ranks, judged, strict=True) if not known]
    seeds = limit.seeds - last.seeds
    allowed = (
        "The seed that certify.seeds still allows" if seeds == 1 else f"The {seeds} seeds that certify.seeds allows"
    )
    return f"{allowed} would probably not decide {_listed(open_ranks)}: not trained."


def _listed(ranks: Sequence[int]) -> str:
    """`ranks 2, 4`, or the names of methods."""
    names = ", ".join(map(str, ranks))
    return names if terms_of(ranks) is not RANKS else f"rank{'s' if len(ranks) > 1 else ''} {names}"


def _blocking(table: LossTable, after: LookState) -> list[str]:
    """The rank at which the sequence of tests stopped, and the ranks it did not reach."""
    blocking = _largest_open(after.certified, after.inferior)
    bound, margin = after.upper[blocking], after.margin_in_loss
    rank, terms = table.ranks[blocking], terms_of(table.ranks)
    difference = after.difference[blocking]
    if table.is_cut and blocking == len(table.ranks) - 1:
        sentences = [f"The uncut adapter of rank {rank} is not shown to gain anything over the unadapted base."]
    else:
        gap = f"is about {difference:.3g} worse than {_reference(table)} and may be up to {bound:.3g} worse"
        if difference <= 0:
            gap = f"may be up to {bound:.3g} worse than {_other(table)}"
        sentences = [f"{capitalized(rung_words(rank))} {gap} (upper bound); the margin is {margin:.3g}."]
    judged = after.certified | after.inferior
    unreached = [str(table.ranks[place]) for place in range(blocking) if not judged[place]]
    if unreached:
        what = capitalized(f"{terms.less} {terms.many}")
        sentences.append(f"{what} ({', '.join(unreached)}) can be certified only after {rung_words(rank)}.")
    return sentences


def _reference(table: LossTable) -> str:
    return "the uncut adapter" if table.is_cut else "the best"


def _outlook(table: LossTable, ahead: Outlook, needed: Need | None, available: int | None) -> str:
    """What would settle it: the cheapest way and the other ways, or that the data is too small."""
    if needed is not None:
        ways = [way for way in (_seeds_alone(ahead), _examples_alone(ahead, available)) if way not in (None, needed)]
        others = " or ".join(_more(way, ahead, table) for way in ways if way is not None)
        unknown = ", if the data has that many" if needed.examples > ahead.examples and available is None else ""
        would = f"{_more(needed, ahead, table)} would probably decide it{unknown}."
        return f"{would} At a higher cost, {others} would, too." if others else would
    if ahead.enough:
        least = min(need.examples for need in ahead.enough)
        return (
            f"More seeds alone would probably not decide it. About {least} certify examples would, but the data has {available}: add "
            "validation data."
        )
    return (
        f"Too close to the margin to call: not even {MOST} seeds{_each(table)} or {MOST_TIMES * table.examples} certify examples would "
        "probably decide it."
    )


def _not_worth(table: LossTable, ahead: Outlook, needed: Need, available: int | None) -> str:
    """That nobody should do what would settle it, and what can be done instead."""
    terms = terms_of(table.ranks)
    known = f" (the data has {available})" if available is not None else ""
    return (
        f"This margin cannot be decided with these data at a sensible price: it would take {_more(needed, ahead, table)}. What can help: "
        f"more certify examples{known}, a wider margin, or a shorter ladder without the {terms.one} that is close to the margin."
    )


def _seeds_alone(ahead: Outlook) -> Need | None:
    return None if ahead.seeds_alone is None else Need(ahead.seeds_alone, ahead.examples)


def _examples_alone(ahead: Outlook, available: int | None) -> Need | None:
    count = ahead.examples_alone
    enough_data = count is not None and (available is None or count <= available)
    return Need(ahead.seeds, count) if count is not None and enough_data else None


def _more(need: Need, ahead: Outlook, table: LossTable) -> str:
    """What has to be added, in words."""
    seeds, parts = need.seeds - ahead.seeds, []
    if seeds > 0:
        parts.append(f"{seeds} more seed{'s' if seeds > 1 else ''}{_each(table)} ({need.seeds} in total)")
    if need.examples > ahead.examples:
        parts.append(f"{need.examples} certify examples instead of {ahead.examples}")
    return " and ".join(parts)


def _each(table: LossTable) -> str:
    """Of a cut ladder, a seed is one training for all ranks."""
    return "" if table.is_cut else f" per {terms_of(table.ranks).one}"


def _left_by_examples(table: LossTable, last: Contrasts, certified: Mask, level: float) -> list[str]:
    """The error that the choice of examples alone leaves, with any number of seeds."""
    endless = last.look(level, certified[None], seeds=ENDLESS)
    if is_closed(endless)[0]:
        return []
    blocking = _largest_open(endless.certified[0], endless.inferior[0])
    distance, error = last.left_by_examples(blocking, level, ENDLESS)
    if error == 0:
        return []
    return [
        f"More seeds cannot decide {rung_words(table.ranks[blocking])}: its difference to {_other(table)} is {abs(distance):.2g} from the "
        f"margin, and with {table.examples} examples alone the error is {error:.2g}."
    ]


def _other(table: LossTable) -> str:
    return "the uncut adapter" if table.is_cut else f"another {terms_of(table.ranks).one}"


def _largest_open(certified: Mask, inferior: Mask) -> int:
    """The largest rank that is neither certified nor inferior, or the largest that is not certified."""
    open_ranks = np.flatnonzero(~(certified | inferior))
    return int(open_ranks[-1]) if open_ranks.size else int(np.flatnonzero(~certified)[-1])
