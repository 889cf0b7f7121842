"""The ladder as it is shown: what the statistics say of each rank, beside what its adapter costs and is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from sweep.records import Certification, CompletedTrial, EvaluatedTrial, Measures, StudyRecord
from sweep.verdict.chosen import chosen
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.kinds import KindScore, kind_scores
from sweep.verdict.record import Rung, State


@dataclass(frozen=True, slots=True)
class LadderRow:
    """One rank, all its seeds together.

    Attributes:
        seeds: how many trials the figures are from.
        mean: what the verdict is about: the loss, or with `margin_of=metric` 1 - score.
        upper_bound, lower_bound: confidence bounds of the difference to the best; None where nothing can be bounded.
        loss: mean loss, nats a token: on certify, or on tune where nothing was certified.
        metrics: means of the task metric by name; empty where no answers were asked for.
        peak_memory_bytes: of the seed that needed most.
        train_seconds: the median.
    """

    rank: int
    state: State
    seeds: int
    learning_rate: float
    at_edge: bool
    mean: float
    diff_to_best: float
    upper_bound: float | None
    lower_bound: float | None
    loss: float
    metrics: Mapping[str, float]
    adapter_bytes: int
    trainable_parameters: int
    peak_memory_bytes: int
    train_seconds: float


def ladder_rows(record: StudyRecord, conclusion: Conclusion | None) -> list[LadderRow]:
    """The ranks that were compared, ascending; where nothing was certified, those with a complete explored trial."""
    certification = record.certification
    if conclusion is None or certification is None:
        return _explored(record)
    if conclusion.verdict is not None:
        return [_judged(rung, certification) for rung in conclusion.verdict.ladder]
    return _trained(certification, {left.rank for left in conclusion.left_out})


def _judged(rung: Rung, certification: Certification) -> LadderRow:
    trials = certification.complete(rung.rank)[: rung.seeds]
    return _row(
        trials,
        certification,
        rung.state,
        (rung.mean, rung.diff_to_best, _finite(rung.upper_bound), _finite(rung.lower_bound)),
    )


def _trained(certification: Certification, left_out: set[int]) -> list[LadderRow]:
    """Ranks with trials on certify that the statistics have not been computed on."""
    trained = [certification.complete(rank) for rank in certification.complete_ranks() if rank not in left_out]
    means = [fmean(trial.loss for trial in trials) for trials in trained]
    return [
        _row(trials, certification, State.UNDECIDED, (mean, mean - min(means), None, None))
        for trials, mean in zip(trained, means, strict=True)
    ]


def _explored(record: StudyRecord) -> list[LadderRow]:
    """Each rank with its best arm."""
    trials = record.complete()
    best = min((trial.loss for trial in trials), default=0.0)
    rows = []
    for rank in sorted({trial.rank for trial in trials}):
        own = min((t for t in trials if t.rank == rank), key=lambda trial: trial.loss)
        loss = own.loss
        rows.append(_row([own], None, State.UNDECIDED, (loss, loss - best, None, None)))
    return rows


def _row(
    trials: Sequence[CompletedTrial],
    certification: Certification | None,
    state: State,
    figures: tuple[float, float, float | None, float | None],
) -> LadderRow:
    measures = [trial.measures for trial in trials]
    arm = trials[0].arm
    choice = certification.rate_of(arm.rank) if certification is not None else None
    mean, diff_to_best, upper_bound, lower_bound = figures
    return LadderRow(
        rank=arm.rank,
        state=state,
        seeds=len(trials),
        learning_rate=arm.learning_rate,
        at_edge=choice is not None and choice.at_edge,
        mean=mean,
        diff_to_best=diff_to_best,
        upper_bound=upper_bound,
        lower_bound=lower_bound,
        loss=fmean(found.loss for found in measures),
        metrics=_mean_metrics(measures),
        adapter_bytes=measures[0].adapter_bytes,
        trainable_parameters=measures[0].trainable_parameters,
        peak_memory_bytes=max(found.peak_bytes for found in measures),
        train_seconds=median(found.train_seconds for found in measures),
    )


def _mean_metrics(measures: Sequence[Measures]) -> dict[str, float]:
    """Of those metrics that every trial has."""
    names = [name for name in measures[0].metrics if all(name in found.metrics for found in measures)]
    return {name: fmean(found.metrics[name] for found in measures) for name in names}


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def on_test(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, EvaluatedTrial]:
    """What was scored on test: `base`, `goldilocks` (the rank whose adapter is handed out) and `largest`, as far as it was."""
    certification = record.certification
    if certification is None or conclusion is None:
        return {}
    scored = certification.on_test()
    handed_out = chosen(record, conclusion)
    places = {
        "base": 0,
        "goldilocks": handed_out.rank if handed_out else None,
        "largest": max((rank for rank in scored if rank > 0), default=None),
    }
    return {name: scored[rank] for name, rank in places.items() if rank is not None and rank in scored}


def kinds_on_test(record: StudyRecord, conclusion: Conclusion | None) -> tuple[KindScore, ...]:
    """The task metric on test over all examples, then on each kind; nothing before test was scored."""
    tested = on_test(record, conclusion)
    chosen, largest = tested.get("goldilocks"), tested.get("largest")
    if chosen is None:
        return ()
    return kind_scores(record.metric, tested.get("base"), [chosen], [largest] if largest else [])
