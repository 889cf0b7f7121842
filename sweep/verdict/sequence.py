"""One look at ladders of ranks that were trained each on its own: which ranks are certified, which are inferior.

Margin. "Rank r is worse than rank j by more than the margin" is a statement about one linear combination of expected losses:

    gain    L[r] - (1 - m) L[j] - m base > 0     r loses more than the share m of what j gains over the base
    loss    L[r] - (1 + m) L[j]          > 0     r's loss is more than the share m above j's
    metric  L[r] - L[j] - m              > 0     r's cost is more than m points above j's

A rank is good if no rank j makes its contrast zero or positive. j = r is among them: with `gain` it asks that r itself
improves on the base at all (assay sensitivity: ICH E10, section 1.5), with `loss` and `metric` it is void. It bounds the
difference to the best rank, which may be r itself, from below by about zero.

Certified. A rank is compared with every other rank, each at the full level: all must pass (intersection-union test, Berger
1982), so nothing is paid for choosing the worst. Ranks are tested from the largest downward until one fails (fixed sequence,
Hsu and Berger 1999), so nothing is paid for testing several ranks either: the first rank that is not good is certified with
probability at most the level, and none below it is reached without that.

The gate. A ladder may end above the best rank: its largest ranks overfit and are not good. Ranks at the top that are shown
inferior are passed over, until the first certified rank; a rank that is neither stops the sequence. Passing a rank over
errs only together with a second error (see docs/verdict.md).

Inferior. Downward from the largest rank, each against every smaller one, at the level divided by their number (Bonferroni).
Upward from the smallest, each against a mean of larger ranks: the best rank is at least as good as that, and one contrast
needs no correction. Of the larger ranks that were not shown inferior downward it is the larger half, since those next to a
rank that is too small may be too small themselves. The first rank that is not shown inferior stops its sequence.

Methods. A ladder of arms is ordered by cost, which need not be the order of quality: a bad arm may stand between two good ones, and
would stop the sequences there. So every arm is compared with every other one, at half the level divided by the number of pairs that can
be at the margin at once; an arm that is shown inferior anywhere is passed over, not only at the top. Such a pair is one of a best arm
and an arm that misses the margin by nothing, so of k arms there are at most floor(k^2 / 4). The other half of the level is that of the
sequence upward. Both together call a good arm inferior with at most the level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sweep.verdict.bounds import Array, Estimates, Mask, Moments, Side, estimates
from sweep.verdict.look import Look, from_the_top, widths
from sweep.verdict.margin import Margin


def against_each(ranks: int) -> Array:
    """(ranks, ranks, ranks): reference [j, r] compares rank r with rank j alone."""
    return np.broadcast_to(np.eye(ranks)[:, None, :], (ranks, ranks, ranks)).copy()


def against_larger_half(active: Mask) -> Array:
    """(studies, ranks, ranks): each rank against the mean of the larger half of the active ranks above it.

    Of an odd number the middle one belongs to that half. A rank without any is compared with itself.

    Args:
        active: (studies, ranks), ranks that are compared with.
    """
    ranks = active.shape[1]
    larger = np.triu(np.ones((ranks, ranks), bool), 1) & active[:, None, :]
    from_the_top = np.cumsum(larger[:, :, ::-1], axis=2)[:, :, ::-1]
    count = larger.sum(axis=2, keepdims=True)
    half = larger & (from_the_top <= (count + 1) // 2)
    return np.where(count > 0, half / np.maximum(half.sum(axis=2, keepdims=True), 1), np.eye(ranks))


@dataclass(frozen=True, slots=True)
class TrainedContrasts:
    """What a look at ladders of trained ranks is made from.

    Attributes:
        of: means and covariances.
        each: rank against rank, (studies, ranks * ranks); entry j * ranks + r compares rank r with rank j.
        judged: (studies, ranks), ranks not shown inferior at an earlier look: only these are compared.
        counts: (ranks, ranks), [j, r]: whether r against j can fail (r against itself cannot if the margin is zero).
        by_quality: whether larger ranks are expected to be better, as in a ladder of ranks; False in one of arms, ordered by cost.
    """

    of: Moments
    margin: Margin
    each: Estimates
    judged: Mask
    counts: Mask
    by_quality: bool = True

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
        ranks = self.judged.shape[1]
        reference = self.judged[:, :, None]  # [j, r]: rank j takes part

        within = (self.each.value + widths(self.each, Side.UPPER, level, seeds, luck, fresh)).reshape(-1, ranks, ranks)
        upper = np.where(reference & self.counts, within, -np.inf).max(axis=1)

        smaller = np.triu(np.ones((ranks, ranks), bool), 1)  # [j, r]: j is smaller than r
        gone = ~self.judged
        if self.by_quality:
            below = self._below_smaller(level, seeds, luck, fresh)
            downward = from_the_top(gone | (below > 0) & ~certified)
            upward_level: float | Array = level
        else:
            below = self._below_any(np.asarray(level) / 2, seeds, luck, fresh)
            downward = gone | (below > 0) & ~certified
            upward_level = np.asarray(level) / 2

        references = self.judged & ~downward
        larger = estimates(self.of, *self.margin.contrasts(against_larger_half(references)))
        has_larger = (references[:, :, None] & smaller.T).any(axis=1)
        above = np.where(
            has_larger, larger.value - widths(larger, Side.LOWER, upward_level, seeds, luck, fresh), -np.inf
        )
        upward = np.logical_and.accumulate(gone | (above > 0) & ~certified, axis=1)

        good = self.judged & (certified | (upper < 0))
        lower = np.where(upward | has_larger & ~downward, above, below)
        passed = from_the_top(good | downward) & good
        return Look(passed, upward | downward, upper, lower, np.zeros_like(passed))

    def _below_smaller(self, level: float | Array, seeds: float | Array | None, luck: float, fresh: float) -> Array:
        """(studies, ranks): the largest lower bound of a rank's contrasts with the smaller ones, the level divided by their number."""
        ranks = self.judged.shape[1]
        below = np.full((len(self.judged), ranks, ranks), -np.inf)
        for rank in range(1, ranks):
            pairs = self.each.take(np.arange(rank) * ranks + rank)
            shared = np.asarray(level) / np.maximum(self.judged[:, :rank].sum(axis=1, keepdims=True), 1)
            below[:, :rank, rank] = pairs.value - widths(pairs, Side.LOWER, shared, seeds, luck, fresh)
        smaller = np.triu(np.ones((ranks, ranks), bool), 1)
        worst: Array = np.where(self.judged[:, :, None] & smaller, below, -np.inf).max(axis=1)
        return worst

    def _below_any(self, level: Array, seeds: float | Array | None, luck: float, fresh: float) -> Array:
        """(studies, ranks): the largest lower bound of a rank's contrasts with all others, the level divided by floor(k^2 / 4)."""
        ranks = self.judged.shape[1]
        shared = level / np.maximum(self.judged.sum(axis=1, keepdims=True) ** 2 // 4, 1)
        below = self.each.value - widths(self.each, Side.LOWER, shared, seeds, luck, fresh)
        others = self.judged[:, :, None] & ~np.eye(ranks, dtype=bool)
        worst: Array = np.where(others, below.reshape(-1, ranks, ranks), -np.inf).max(axis=1)
        return worst

    def with_examples(self, times: float) -> TrainedContrasts:
        return trained_contrasts(self.of.with_examples(times), self.margin, self.judged, by_quality=self.by_quality)

    def repeated(self, times: int) -> TrainedContrasts:
        judged = np.repeat(self.judged, times, axis=0)
        return replace(self, of=self.of.repeated(times), each=self.each.repeated(times), judged=judged)

    def left_by_examples(self, place: int, level: float, seeds: float) -> tuple[float, float]:
        ranks = self.judged.shape[1]
        entries = [other * ranks + place for other in range(ranks) if self.judged[0, other] and other != place]
        error = self.each.half_width(Side.UPPER, level, seeds)[0]
        worst = max(entries, key=lambda entry: float(self.each.value[0, entry] + error[entry]))
        from_examples = error[worst] if self.each.examples[0, worst] else 0.0
        return float(self.each.value[0, worst]), float(from_examples)


def trained_contrasts(of: Moments, margin: Margin, judged: Mask, *, by_quality: bool = True) -> TrainedContrasts:
    """The contrasts that a look needs.

    Args:
        judged: (studies, ranks), ranks that were not shown inferior at an earlier look; the others are no reference.
        by_quality: see `TrainedContrasts`.
    """
    ranks = judged.shape[1]
    coefficients, constant = margin.contrasts(against_each(ranks))
    each = estimates(of, coefficients.reshape(ranks * ranks, ranks + 1), constant)
    counts = np.ones((ranks, ranks), bool) if margin.size > 0 else ~np.eye(ranks, dtype=bool)
    return TrainedContrasts(of, margin, each, judged, counts, by_quality)
