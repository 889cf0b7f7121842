"""Why a verdict is open, in sentences for a person."""

from __future__ import annotations

import numpy as np

from sweep.verdict.bounds import Side
from sweep.verdict.looks import LookState
from sweep.verdict.projection import MOST, MOST_TIMES, Outlook, is_closed
from sweep.verdict.record import MarginOf, Need
from sweep.verdict.sequence import Mask, look
from sweep.verdict.table import LossTable

ENDLESS = 1e9  # seeds


def why_open(
    table: LossTable, standing: LookState, level: float, ahead: Outlook, needed: Need | None, available: int | None
) -> tuple[str, ...]:
    """Sentences, the most basic obstacle first.

    Args:
        level: of the last look.
        ahead: what would probably close the bracket.
        needed: the cheapest of it, None if it takes more than there is.
        available: how many examples the data has, None if that is not known.
    """
    if len(table.ranks) < 2:
        return (f"rank {table.ranks[0]} is the only one: there is no other rank to hold it against",)
    sentences = []
    if table.examples < 2:
        sentences.append("one example: how much the differences depend on the choice of examples cannot be told")
    if min(table.seeds) < 2:
        sentences.append("fewer than two seeds: a difference between ranks can be the luck of a seed")
    if table.margin.size == 0:
        sentences.append("a margin of zero is kept only by a rank that is shown to be better than every other")
    if standing.margin_in_loss < 0:
        what = (
            "the unadapted base is as good as the best rank"
            if table.margin.of is MarginOf.GAIN
            else "losses are negative"
        )
        sentences.append(f"{what}: there is nothing that the margin could be a share of")
    if standing.last is None or standing.margin_in_loss < 0:
        return tuple(sentences)
    return (*sentences, *_blocking(table, standing), *_outlook(table, standing, level, ahead, needed, available))


def _blocking(table: LossTable, standing: LookState) -> list[str]:
    """The rank at which the sequence of tests stopped, and the ranks it did not reach."""
    states = standing.certified | standing.inferior
    blocking = _largest_open(standing.certified, standing.inferior)
    best = table.ranks[int(np.argmin(standing.mean))]
    bound, margin = standing.upper[blocking], standing.margin_in_loss
    rank = table.ranks[blocking]
    sentences = [
        f"rank {rank} may be worse than the best by {bound:.3g} (upper bound), the margin is {margin:.3g}"
        + ("" if rank == best else f"; by the means alone it is {standing.mean[blocking] - standing.mean.min():.3g}")
    ]
    unreached = [str(table.ranks[place]) for place in range(blocking) if not states[place]]
    if unreached:
        sentences.append(f"smaller ranks ({', '.join(unreached)}) can be certified only after rank {rank}")
    return sentences


def _outlook(
    table: LossTable, standing: LookState, level: float, ahead: Outlook, needed: Need | None, available: int | None
) -> list[str]:
    """What would settle it: the cheapest way, the other ways, and where the data does not suffice."""
    if needed is not None:
        ways = [way for way in (_seeds_alone(ahead), _examples_alone(ahead, available)) if way not in (None, needed)]
        others = " or ".join(_more(way, ahead) for way in ways if way is not None)
        unknown = ", if the data has as many" if needed.examples > ahead.examples and available is None else ""
        would = f"{_more(needed, ahead)} would probably decide it{unknown}"
        return [f"{would}; {others} would, too, at a higher cost" if others else would]
    if ahead.enough:
        least = min(need.examples for need in ahead.enough)
        return [
            f"more seeds alone would probably not decide it; about {least} certify examples would, and the data has {available}: add "
            "validation data"
        ]
    return [
        *_left_by_examples(table, standing, level),
        f"too close to the margin to call: neither {MOST} seeds a rank nor {MOST_TIMES * table.examples} certify examples would "
        "probably decide it",
    ]


def _seeds_alone(ahead: Outlook) -> Need | None:
    return None if ahead.seeds_alone is None else Need(ahead.seeds_alone, ahead.examples)


def _examples_alone(ahead: Outlook, available: int | None) -> Need | None:
    count = ahead.examples_alone
    to_be_had = count is not None and (available is None or count <= available)
    return Need(ahead.seeds, count) if count is not None and to_be_had else None


def _more(need: Need, ahead: Outlook) -> str:
    """What is to be added, in words."""
    seeds, parts = need.seeds - ahead.seeds, []
    if seeds > 0:
        parts.append(f"{seeds} more seed{'s' if seeds > 1 else ''} a rank ({need.seeds} in all)")
    if need.examples > ahead.examples:
        parts.append(f"{need.examples} certify examples instead of {ahead.examples}")
    return " and ".join(parts)


def _left_by_examples(table: LossTable, standing: LookState, level: float) -> list[str]:
    """What the choice of examples alone leaves open, were there any number of seeds."""
    assert standing.last is not None
    given = standing.last
    endless = look(given, level, standing.certified[None], seeds=ENDLESS)
    if is_closed(endless)[0]:
        return []
    ranks = len(table.ranks)
    blocking = _largest_open(endless.certified[0], endless.inferior[0])
    entries = [place * ranks + blocking for place in range(ranks) if given.active[0, place] and place != blocking]
    left = given.each.half_width(Side.UPPER, level, ENDLESS)[0]
    worst = max(entries, key=lambda entry: float(given.each.value[0, entry] + left[entry]))
    if given.each.examples[0, worst] == 0:
        return []
    return [
        f"more seeds cannot decide rank {table.ranks[blocking]}: its difference to another rank is "
        f"{abs(float(given.each.value[0, worst])):.2g} from the margin, and the choice of {table.examples} examples alone "
        f"leaves an error of {left[worst]:.2g}"
    ]


def _largest_open(certified: Mask, inferior: Mask) -> int:
    """The largest rank that is neither certified nor inferior, or the largest that is not certified."""
    open_ranks = np.flatnonzero(~(certified | inferior))
    return int(open_ranks[-1]) if open_ranks.size else int(np.flatnonzero(~certified)[-1])
