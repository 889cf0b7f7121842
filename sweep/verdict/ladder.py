"""The ladder: the losses that the statistics are computed on, and what is known of each rank in the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean, median

import numpy as np

from sweep.records import Certification, CompletedTrial, Declaration, EvaluatedTrial, Status, StudyRecord
from sweep.verdict.bounds import Array
from sweep.verdict.record import RankVerdict, State, Verdict

_SAME = 1e-6
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rank of the ladder that could not be compared.

    Attributes:
        status: how its first trial without a result ended.
        reason: why, in words.
    """

    rank: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class LadderData:
    """The tables that the statistics are computed on.

    Attributes:
        ranks: those that are compared, ascending.
        losses: for each rank nats per token, (seeds, examples).
        answered: whether every trial has a score for each example.
        costs: for each rank 1 - score, (seeds, examples); None if examples have no scores, or if the metric is not their mean
            (`macro_f1`).
        tokens: the completion tokens of each example, the weights of `losses`.
        base: the unadapted base's nats per token, None if it was not evaluated.
        base_costs: its 1 - score, None if it has no scores.
        looks: the numbers of seeds at which the verdict is computed; empty before the first.
        left_out: ranks with a trial that has no result; they are not compared, since the others would be biased.
        pending: ranks with fewer seeds than the first look takes.
        reference: the rank that all others are cut from; None if every rank is trained.
    """

    ranks: tuple[int, ...]
    losses: tuple[Array, ...]
    answered: bool
    costs: tuple[Array, ...] | None
    tokens: Array
    base: Array | None
    base_costs: Array | None
    looks: tuple[int, ...]
    left_out: tuple[LeftOut, ...]
    pending: tuple[int, ...]
    reference: int | None = None

    def mean_losses(self) -> tuple[float, ...]:
        """Each rank's mean loss over its seeds, nats per token, rounded so that equal ranks are equal."""
        means = (float(np.average(table.mean(axis=0), weights=self.tokens)) for table in self.losses)
        return tuple(round(mean, _DIGITS) for mean in means)


def ladder_data(certification: Certification, declared: Declaration, metric: str) -> LadderData:
    """Which ranks are compared, with which seeds, on which examples.

    Args:
        declared: the present declaration; ranks that were declared at first and trained are kept.
    """
    first = min(certification.looks, default=1)
    ranks, pending, left_out = [], [], []
    for rank in sorted(_compared(certification, declared)):
        broken = _broken(certification, rank)
        if broken is not None:
            left_out.append(broken)
        elif len(in_order(certification, rank, certification.declared.cut_from)) < first:
            pending.append(rank)
        else:
            ranks.append(rank)
    reference = certification.declared.cut_from
    trials = [in_order(certification, rank, reference) for rank in ranks]
    every = [trial for of_rank in trials for trial in of_rank]
    base = certification.base
    # while examples are being added, some trials do not have all of them yet
    counts = [len(trial.nats) for trial in every] + ([len(base.nats)] if base is not None else [])
    examples = min([len(certification.tokens), *counts])
    tokens = np.asarray(certification.tokens[:examples], dtype=np.float64)
    has_costs = bool(ranks) and all(_is_mean_of_scores(trial, metric) for trial in every)
    base_has_costs = base is not None and _is_mean_of_scores(base, metric)
    return LadderData(
        ranks=tuple(ranks),
        losses=tuple(np.array([trial.nats[:examples] for trial in of_rank]) / tokens for of_rank in trials),
        answered=all(trial.scores for trial in every),
        costs=tuple(1 - np.array([trial.scores[:examples] for trial in of_rank]) for of_rank in trials)
        if has_costs
        else None,
        tokens=tokens,
        base=None if base is None else np.array(base.nats[:examples]) / tokens,
        base_costs=1 - np.array(base.scores[:examples]) if base is not None and base_has_costs else None,
        looks=certification.looks,
        left_out=tuple(left_out),
        pending=tuple(pending),
        reference=reference,
    )


def _compared(certification: Certification, declared: Declaration) -> set[int]:
    if certification.declared.arms:  # another ladder of arms is another certification
        return set(certification.declared.ladder)
    return {*declared.ladder, *(rank for rank in certification.declared.ladder if certification.complete(rank))}


def in_order(certification: Certification, rank: int, reference: int | None) -> list[CompletedTrial]:
    """The complete trials of a rank by seed; of a cut ladder, as far as they are of the same seeds as those of the largest rank."""
    trials = certification.complete(rank)
    if reference is None:
        return trials
    pairs = zip(trials, certification.complete(reference), strict=False)
    return [trial for trial, _ in takewhile(lambda pair: pair[0].seed == pair[1].seed, pairs)]


def _broken(certification: Certification, rank: int) -> LeftOut | None:
    for trial in certification.trials:
        if certification.rung_of(trial) == rank and trial.status not in (Status.COMPLETE, Status.INTERRUPTED):
            return LeftOut(rank, trial.status.value, trial.reason or "no reason is known")
    return None


def _is_mean_of_scores(trial: EvaluatedTrial, metric: str) -> bool:
    value = trial.metric(metric)
    return value is not None and bool(trial.scores) and abs(sum(trial.scores) / len(trial.scores) - value) < _SAME


def parts_of(trial: EvaluatedTrial, metric: str) -> tuple[float, ...]:
    """What each example adds to the task metric, which is their mean; empty if that is not recorded."""
    return tuple(trial.measures.shares) or (trial.scores if _is_mean_of_scores(trial, metric) else ())


@dataclass(frozen=True, slots=True)
class RankResult:
    """All that is known of one rank; table, picture, page and verdict.json are made from it.

    Attributes:
        verdict: what is shown about it, in losses (with `margin_of=metric` in 1 - score).
        trials: the trials that the figures are from: its seeds on certify, or its best trial on tune if nothing was certified.
        at_edge: whether its best learning rate is at the edge of the range that may be tried.
        metric_state: what the test on the task metric shows; None if there was none.
    """

    verdict: RankVerdict
    trials: tuple[CompletedTrial, ...]
    at_edge: bool = False
    metric_state: State | None = None

    @property
    def rank(self) -> int:
        return self.verdict.rank

    @property
    def state(self) -> State:
        return self.verdict.state

    @property
    def diff_to_best(self) -> float:
        return self.verdict.diff_to_best

    @property
    def upper_bound(self) -> float | None:
        """Of the difference to the best; None if it cannot be bounded."""
        return _finite(self.verdict.upper_bound)

    @property
    def lower_bound(self) -> float | None:
        """Of the difference to the best; None if it cannot be bounded."""
        return _finite(self.verdict.lower_bound)

    @property
    def seeds(self) -> int:
        return len(self.trials)

    @property
    def learning_rate(self) -> float:
        return self.trials[0].arm.learning_rate

    @property
    def loss(self) -> float:
        """Mean over seeds, nats per token."""
        return fmean(trial.loss for trial in self.trials)

    @property
    def metrics(self) -> Mapping[str, float]:
        """Means over seeds of the task metrics that every trial has; empty where no answers were written."""
        every = [trial.measures.metrics for trial in self.trials]
        shared = [name for name in every[0] if all(name in metrics for metrics in every)]
        return {name: fmean(metrics[name] for metrics in every) for name in shared}

    @property
    def bits_per_byte(self) -> float | None:
        """Mean over seeds; None in records of earlier versions."""
        values = [trial.measures.bits_per_byte for trial in self.trials]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    @property
    def forgetting(self) -> float | None:
        """Mean over seeds of the rise of the loss on general prose, nats per token; None if it was not measured.

        With a limit of forgetting it is over the seeds of that test.
        """
        if self.verdict.forgetting is not None:
            return self.verdict.forgetting.rise
        rises = [trial.measures.forgetting_loss_delta for trial in self.trials]
        known = [rise for rise in rises if rise is not None]
        return fmean(known) if known and len(known) == len(rises) else None

    @property
    def forgetting_bound(self) -> float | None:
        """With a limit of forgetting its upper bound; None without one, or if it cannot be bounded."""
        return _finite(self.verdict.forgetting.upper) if self.verdict.forgetting is not None else None

    @property
    def general_accuracy(self) -> float | None:
        """Mean over seeds of the share of general questions answered right; None if a trial was not asked."""
        shares = [trial.measures.general_accuracy for trial in self.trials]
        known = [share for share in shares if share is not None]
        return fmean(known) if known and len(known) == len(shares) else None

    @property
    def energy_kept(self) -> float | None:
        """Mean over seeds of the share of the update that the cut keeps (`Measures.energy_kept`); None if nothing was cut."""
        shares = [trial.measures.energy_kept for trial in self.trials]
        known = [share for share in shares if share is not None]
        return fmean(known) if known and len(known) == len(shares) else None

    @property
    def method(self) -> str:
        """The name of the method, as in `method=NAME`."""
        return self.trials[0].arm.method

    @property
    def trainable_fraction(self) -> float:
        """Trained parameters as a share of the model's."""
        return self.trials[0].measures.trainable_fraction

    @property
    def adapter_bytes(self) -> int:
        return self.trials[0].measures.adapter_bytes

    @property
    def base_bytes(self) -> int:
        """Of the base that it was trained on."""
        return self.trials[0].measures.base_bytes

    @property
    def trainable_parameters(self) -> int:
        return self.trials[0].measures.trainable_parameters

    @property
    def peak_memory_bytes(self) -> int:
        """Of the seed that needed most."""
        return max(trial.measures.peak_bytes for trial in self.trials)

    @property
    def train_seconds(self) -> float:
        """The median over seeds."""
        return median(trial.measures.train_seconds for trial in self.trials)


def certified_ranks(
    certification: Certification, verdict: Verdict | None, metric_verdict: Verdict | None, left_out: Sequence[LeftOut]
) -> Iterator[RankResult]:
    """The ranks with complete trials on certify that can be compared, ascending."""
    ranks = [rank for rank in certification.complete_ranks() if rank not in {one.rank for one in left_out}]
    ladder = verdict.ladder if verdict is not None else _unjudged({r: certification.complete(r) for r in ranks})
    top = certification.declared.cut_from
    on_metric = dict(zip(metric_verdict.ranks, metric_verdict.state, strict=True)) if metric_verdict else {}
    for one in ladder:
        choice = certification.rate_of(one.rank)
        yield RankResult(
            verdict=one,
            trials=tuple(certification.complete(one.rank)[: one.seeds]),
            at_edge=choice is not None and choice.at_edge and top in (None, one.rank),
            metric_state=on_metric.get(one.rank),
        )


def explored_ranks(record: StudyRecord) -> Iterator[RankResult]:
    """The best trial of each rank on tune, ascending: all that is known if nothing was certified."""
    best: dict[int, list[CompletedTrial]] = {}
    for trial in sorted(record.complete(), key=lambda trial: trial.loss):
        best.setdefault(trial.rank, [trial])
    for one in _unjudged(dict(sorted(best.items()))):
        yield RankResult(one, tuple(best[one.rank]))


def _unjudged(trials: Mapping[int, Sequence[CompletedTrial]]) -> list[RankVerdict]:
    """Ranks that were not tested: means without bounds."""
    means = {rank: fmean(trial.loss for trial in of_rank) for rank, of_rank in trials.items()}
    return [
        RankVerdict(rank, State.UNDECIDED, len(trials[rank]), mean, mean - min(means.values()))
        for rank, mean in means.items()
    ]


def _finite(value: float) -> float | None:
    """Zero for what is zero but for rounding, such as the difference of the uncut adapters to themselves."""
    if not math.isfinite(value):
        return None
    return value if abs(value) > 10.0**-_DIGITS else 0.0
