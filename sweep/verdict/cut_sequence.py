"""One look at ladders that were cut from adapters of the largest rank: which cuts keep enough of the uncut adapter's gain.

Every cut is compared with the uncut adapter of the same seed, by the contrast of `margin`. What the uncut adapter itself is worth
has a test of its own: with a margin of the gain, it must be shown to have a lower loss than the unadapted base (assay
sensitivity: ICH E10, section 1.5), or nothing is certified.

Certified. From the mildest cut downward, each at the full level, until one fails (fixed sequence): the first cut that is not good
is certified with probability at most the level, and none below it is reached without that.

Inferior. From the smallest rank upward, each at the full level, until one is not shown to miss the margin (fixed sequence).

Better. Cuts whose loss is lower than that of the uncut adapter; each at the level divided by their number (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sweep.verdict.bounds import Array, Mask, Moments, Side, estimates
from sweep.verdict.cut_bounds import CutEstimates, LogSpread, cut_estimates, paired_estimates
from sweep.verdict.look import Look, from_the_top, widths
from sweep.verdict.margin import Margin
from sweep.verdict.record import MarginOf


@dataclass(frozen=True, slots=True)
class CutContrasts:
    """What a look at cut ladders is made from. The last rank is the uncut adapter.

    Attributes:
        of: means and covariances.
        each: (studies, ranks), the contrast of each rank with the uncut adapter.
        difference: (studies, ranks), its loss minus that of the uncut adapter.
        gain: (studies, 1), the loss of the uncut adapter minus the base's; None if the margin needs no gain.
        judged: (studies, ranks), ranks that are open, and the uncut adapter.
        inferior: (studies, ranks), ranks shown inferior at an earlier look.
    """

    of: Moments
    margin: Margin
    each: CutEstimates
    difference: CutEstimates
    gain: CutEstimates | None
    judged: Mask
    inferior: Mask

    @property
    def seeds(self) -> int:
        return self.of.seeds

    def look(
        self,
        level: float | Array,
        certified: Mask,
        seeds: float | Array | None = None,
        luck: float = 0.0,
        fresh: float = 0.0,
    ) -> Look:
        """Applies the sequences at one level; see `look.Contrasts`."""
        upper = self.each.value + widths(self.each, Side.UPPER, level, seeds, luck, fresh)
        lower = self.each.value - widths(self.each, Side.LOWER, level, seeds, luck, fresh)
        cuts = self.judged.copy()
        cuts[:, -1] = False
        passes = certified | cuts & (upper < 0)
        passes[:, -1] |= self._gains(level, seeds, luck, fresh)
        inferior = self.inferior | cuts & (lower > 0) & ~certified
        # the uncut adapter differs from itself by nothing
        upper[:, -1] = lower[:, -1] = self.each.value[:, -1]

        shared = np.asarray(level) / max(cuts.shape[1] - 1, 1)
        below_uncut = self.difference.value + self.difference.half_width(Side.UPPER, shared, seeds) < 0
        return Look(from_the_top(passes), np.logical_and.accumulate(inferior, axis=1), upper, lower, cuts & below_uncut)

    def with_examples(self, times: float) -> CutContrasts:
        larger = self.of.with_examples(times)
        return cut_contrasts(larger, self.margin, self.judged, self.inferior, self.each.spread)

    def repeated(self, times: int) -> CutContrasts:
        return replace(
            self,
            of=self.of.repeated(times),
            each=self.each.repeated(times),
            difference=self.difference.repeated(times),
            gain=None if self.gain is None else self.gain.repeated(times),
            judged=np.repeat(self.judged, times, axis=0),
            inferior=np.repeat(self.inferior, times, axis=0),
        )

    def left_by_examples(self, place: int, level: float, seeds: float) -> tuple[float, float]:
        error = self.each.half_width(Side.UPPER, level, seeds)[0, place] if self.each.examples[0, place] else 0.0
        return float(self.each.value[0, place]), float(error)

    def _gains(self, level: float | Array, seeds: float | Array | None, luck: float, fresh: float) -> Mask:
        """(studies,): whether the uncut adapter may be a reference at all."""
        if self.gain is None:
            usable: Mask = self.of.mean[:, -2] >= 0  # a share of a negative loss is no margin
            return usable if self.margin.of is MarginOf.LOSS else np.ones_like(usable)
        gains: Mask = (self.gain.value + widths(self.gain, Side.UPPER, level, seeds, luck, fresh) < 0)[:, 0]
        return gains


def cut_contrasts(
    of: Moments, margin: Margin, judged: Mask, inferior: Mask, before: LogSpread | None = None
) -> CutContrasts:
    """The contrasts that a look needs.

    Args:
        of, margin, judged, inferior: see `CutContrasts`.
        before: what the look before showed of the spread between seeds.
    """
    ranks = judged.shape[1]
    uncut = np.zeros((ranks, ranks))
    uncut[:, -1] = 1
    coefficients, constant = margin.contrasts(uncut)
    differences = np.eye(ranks, ranks + 1)
    differences[:, ranks - 1] -= 1
    contrast, difference = estimates(of, coefficients, constant), estimates(of, differences, 0.0)
    allowed = estimates(of, differences - coefficients, -constant)
    gain = np.eye(ranks + 1)[ranks - 1] - np.eye(ranks + 1)[ranks]
    return CutContrasts(
        of=of,
        margin=margin,
        each=cut_estimates(of, contrast, difference, allowed, judged, before),
        difference=paired_estimates(difference),
        gain=paired_estimates(estimates(of, gain[None], 0.0)) if margin.of is MarginOf.GAIN else None,
        judged=judged,
        inferior=inferior,
    )
