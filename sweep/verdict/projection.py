"""How many seeds would probably close the bracket, if the means and variances seen so far held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from sweep.verdict.moments import Array
from sweep.verdict.sequence import Contrasts, Look, Mask, look

MOST = 512
PROBABLY = 0.8


def seeds_needed(given: Contrasts, certified: Mask, level: Callable[[int], float]) -> int | None:
    """The smallest total number of seeds at which the bracket closes, None if `MOST` would not do.

    Seeds to come are drawn around the means seen so far; each test is asked to succeed with probability `PROBABLY`.

    Args:
        given: one study.
        certified: (1, ranks), ranks certified already.
        level: of a look at so many seeds.
    """
    totals = sorted({*range(given.each.seeds + 1, 33), *np.unique(np.geomspace(33, MOST, 40).astype(int)).tolist()})
    totals = [total for total in totals if total > given.each.seeds]
    if not totals:
        return None
    column = np.array(totals)[:, None]
    levels = np.array([level(total) for total in totals])[:, None]
    found = look(
        _repeated(given, len(totals)), levels, np.repeat(certified, len(totals), axis=0), column, float(ndtri(PROBABLY))
    )
    closing = is_closed(found)
    return totals[int(np.argmax(closing))] if closing.any() else None


def is_closed(found: Look) -> Mask:
    """(studies,): whether the smallest rank not shown inferior is certified."""
    first = np.argmax(~found.inferior, axis=1)
    closed: Mask = np.take_along_axis(found.certified, first[:, None], axis=1)[:, 0]
    return closed


def _repeated(given: Contrasts, times: int) -> Contrasts:
    """The same study as many times as there are numbers of seeds to try."""

    def rows(values: Array) -> Array:
        return np.repeat(values, times, axis=0)

    of, each = given.of, given.each
    return replace(
        given,
        of=replace(
            of,
            mean=rows(of.mean),
            seed_covariance=rows(of.seed_covariance),
            example_covariance=rows(of.example_covariance),
            example_parts=rows(of.example_parts),
        ),
        each=replace(
            each,
            value=rows(each.value),
            paired=rows(each.paired),
            unpaired=rows(each.unpaired),
            components=rows(each.components),
            examples=rows(each.examples),
            skew=rows(each.skew),
        ),
        active=np.repeat(given.active, times, axis=0),
    )
