"""Ranks and numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sweep.records import Rung, rung_words
from sweep.verdict.record import MarginOf


def named(ranks: Sequence[int]) -> str:
    """`rank 4`, `ranks 4 and 8`, `ranks 2, 4 and 16`, or `ranks 2 to 32` if none between is missing; arms by their names."""
    if len(ranks) == 1:
        return rung_words(ranks[0])
    if any(isinstance(rank, Rung) for rank in ranks):
        return f"{', '.join(map(rung_words, ranks[:-1]))} and {rung_words(ranks[-1])}"
    if len(ranks) > 2 and len({later / rank for rank, later in pairwise(ranks)}) == 1:
        return f"ranks {ranks[0]} to {ranks[-1]}"
    return f"ranks {', '.join(str(rank) for rank in ranks[:-1])} and {ranks[-1]}"


def made_at(rank: int) -> str:
    """`at rank 8`, or `with` an arm's name."""
    return f"with {rung_words(rank)}" if isinstance(rank, Rung) else f"at rank {rank}"


def percent(share: float) -> str:
    """`99 %`, `0.5 %`"""
    return f"{100 * share:.4g} %"


def confidence(alpha: float) -> str:
    """`95 %` for an alpha of 0.05."""
    return percent(1 - alpha)


def points(share: float) -> str:
    """`1.1 points` for 0.011 of a metric between 0 and 1."""
    text = f"{100 * share:.2g}"
    return f"{text} point{'' if text == '1' else 's'}"


def nats(loss: float) -> str:
    """`0.027 nats per token`"""
    return f"{figure(loss)} nats per token"


def figure(value: float) -> str:
    """Two significant digits."""
    return f"{value:.2g}"


def are(ranks: Sequence[int]) -> str:
    """The verb after `named`."""
    return "is" if len(ranks) == 1 else "are"


def keep(ranks: Sequence[int]) -> str:
    """The verb after `named`."""
    return "keeps" if len(ranks) == 1 else "keep"


def capitalized(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def gain_or_loss(margin_of: str) -> str:
    """What the margin is a share of."""
    return "the gain" if margin_of == MarginOf.GAIN else "the loss"
