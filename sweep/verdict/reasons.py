"""Why a verdict is open, in sentences for a person."""

from __future__ import annotations

import numpy as np

from sweep.verdict.bounds import Side
from sweep.verdict.looks import LookState
from sweep.verdict.projection import MOST, MOST_TIMES, Outlook, is_closed
from sweep.verdict.record import MarginOf, Need
from sweep.verdict.sequence import Contrasts, Mask, look
from sweep.verdict.table import LossTable

ENDLESS = 1e9  # seeds


def why_open(
    table: LossTable, after: LookState, level: float, ahead: Outlook, needed: Need | None, available: int | None
) -> tuple[str, ...]:
    """Sentences, the most basic obstacle first.

    Args:
        after: the state after the last look.
        level: of the last look.
        ahead: what would probably close the bracket.
        needed: the cheapest of it, None if that takes more than the data has.
        available: number of examples in the data, None if unknown.
    """
    if len(table.ranks) < 2:
        return (f"Rank {table.ranks[0]} is the only one: there is no other rank to compare it with.",)
    sentences = []
    if table.examples < 2:
        sentences.append("There is only one example, so the effect of the choice of examples is unknown.")
    if min(table.seeds) < 2:
        sentences.append("There are fewer than two seeds, so a difference between ranks can be chance.")
    if table.margin.size == 0:
        sentences.append("With a margin of zero, only a rank that is shown to be better than every other is certified.")
    if after.margin_in_loss < 0:
        sentences.append(
            "The unadapted base is as good as the best rank, so there is no gain to keep a share of."
            if table.margin.of is MarginOf.GAIN
            else "Losses are negative, so the margin cannot be a share of them."
        )
    if after.last is None or after.margin_in_loss < 0:
        return tuple(sentences)
    blocking = _blocking(table, after)
    if needed is None and not ahead.enough:
        blocking += _left_by_examples(table, after.last, after.certified, level)
    return (*sentences, *blocking, _outlook(table, ahead, needed, available))


def _blocking(table: LossTable, after: LookState) -> list[str]:
    """The rank at which the sequence of tests stopped, and the ranks it did not reach."""
    blocking = _largest_open(after.certified, after.inferior)
    best = table.ranks[int(np.argmin(after.mean))]
    bound, margin = after.upper[blocking], after.margin_in_loss
    rank = table.ranks[blocking]
    gap = (
        f"is about {after.mean[blocking] - after.mean.min():.3g} worse than the best and may be up to {bound:.3g} worse"
    )
    if rank == best:
        gap = f"may be up to {bound:.3g} worse than another rank"
    sentences = [f"Rank {rank} {gap} (upper bound); the margin is {margin:.3g}."]
    judged = after.certified | after.inferior
    unreached = [str(table.ranks[place]) for place in range(blocking) if not judged[place]]
    if unreached:
        sentences.append(f"Smaller ranks ({', '.join(unreached)}) can be certified only after rank {rank}.")
    return sentences


def _outlook(table: LossTable, ahead: Outlook, needed: Need | None, available: int | None) -> str:
    """What would settle it: the cheapest way and the other ways, or that the data is too small."""
    if needed is not None:
        ways = [way for way in (_seeds_alone(ahead), _examples_alone(ahead, available)) if way not in (None, needed)]
        others = " or ".join(_more(way, ahead) for way in ways if way is not None)
        unknown = ", if the data has that many" if needed.examples > ahead.examples and available is None else ""
        would = f"{_more(needed, ahead)} would probably decide it{unknown}."
        return f"{would} At a higher cost, {others} would, too." if others else would
    if ahead.enough:
        least = min(need.examples for need in ahead.enough)
        return (
            f"More seeds alone would probably not decide it. About {least} certify examples would, but the data has {available}: add "
            "validation data."
        )
    return (
        f"Too close to the margin to call: not even {MOST} seeds per rank or {MOST_TIMES * table.examples} certify examples would "
        "probably decide it."
    )


def _seeds_alone(ahead: Outlook) -> Need | None:
    return None if ahead.seeds_alone is None else Need(ahead.seeds_alone, ahead.examples)


def _examples_alone(ahead: Outlook, available: int | None) -> Need | None:
    count = ahead.examples_alone
    enough_data = count is not None and (available is None or count <= available)
    return Need(ahead.seeds, count) if count is not None and enough_data else None


def _more(need: Need, ahead: Outlook) -> str:
    """What has to be added, in words."""
    seeds, parts = need.seeds - ahead.seeds, []
    if seeds > 0:
        parts.append(f"{seeds} more seed{'s' if seeds > 1 else ''} per rank ({need.seeds} in total)")
    if need.examples > ahead.examples:
        parts.append(f"{need.examples} certify examples instead of {ahead.examples}")
    return " and ".join(parts)


def _left_by_examples(table: LossTable, last: Contrasts, certified: Mask, level: float) -> list[str]:
    """The error that the choice of examples alone leaves, with any number of seeds."""
    endless = look(last, level, certified[None], seeds=ENDLESS)
    if is_closed(endless)[0]:
        return []
    ranks = len(table.ranks)
    blocking = _largest_open(endless.certified[0], endless.inferior[0])
    entries = [place * ranks + blocking for place in range(ranks) if last.active[0, place] and place != blocking]
    error = last.each.half_width(Side.UPPER, level, ENDLESS)[0]
    worst = max(entries, key=lambda entry: float(last.each.value[0, entry] + error[entry]))
    if last.each.examples[0, worst] == 0:
        return []
    return [
        f"More seeds cannot decide rank {table.ranks[blocking]}: its difference to another rank is "
        f"{abs(float(last.each.value[0, worst])):.2g} from the margin, and with {table.examples} examples alone the error is "
        f"{error[worst]:.2g}."
    ]


def _largest_open(certified: Mask, inferior: Mask) -> int:
    """The largest rank that is neither certified nor inferior, or the largest that is not certified."""
    open_ranks = np.flatnonzero(~(certified | inferior))
    return int(open_ranks[-1]) if open_ranks.size else int(np.flatnonzero(~certified)[-1])
