"""What the trials of a recipe say about its learning rates.

The few examples of tune leave much noise in a comparison of rates. In the first epoch, the training loss of a step is a loss on
examples that no earlier step has seen (prequential evaluation: Dawid 1984), and all trials with one seed see the same examples in the
same order. So the last third of the steps, where the model is nearly trained, counts as more examples of tune. In later epochs the
training loss rewards memory, and tune counts alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from sweep.records import Arm, StudyRecord, TrialRecord
from sweep.study.rates import RatePoint

LATE = 1 / 3
"""Share of the steps whose losses count, the last ones."""


def rate_points(record: StudyRecord, recipe: Arm) -> Iterator[RatePoint]:
    """The losses of the recipe's learning rates, from the explore stage and from rate tuning."""
    return points_of(trials_on_tune(record, recipe), record, lambda trial: trial.rank)


def points_of(
    trials: Sequence[TrialRecord], record: StudyRecord, rank_of: Callable[[TrialRecord], int]
) -> Iterator[RatePoint]:
    """The losses of trials that differ in rank and learning rate alone; `rank_of` is the rank that each counts for."""
    finite = [trial for trial in trials if _finite(trial)]
    late = [_late_loss(trial, record.available.get("train", 0)) for trial in finite]
    # trials with other examples cannot be compared
    usable = None not in late and len({trial.seed for trial in finite}) == 1
    for trial, own in zip(finite, late, strict=True):
        assert trial.arm is not None
        yield RatePoint(rank_of(trial), trial.arm.learning_rate, _pooled(trial, own if usable else None))
    for trial in trials:
        if trial.arm is not None and trial.has_diverged:  # any other failure says nothing about the rate
            yield RatePoint(rank_of(trial), trial.arm.learning_rate, math.inf)


def rates_tried(record: StudyRecord, recipe: Arm, rank: int) -> tuple[tuple[float, float], ...]:
    """The learning rates tried for a rank and their losses on tune alone, by rate."""
    return losses_by_rate([trial for trial in trials_on_tune(record, recipe) if trial.rank == rank])


def losses_by_rate(trials: Iterable[TrialRecord]) -> tuple[tuple[float, float], ...]:
    """The learning rates of the trials that ended with a loss, and their losses on tune alone, by rate."""
    finite = (trial for trial in trials if _finite(trial))
    return tuple(sorted((trial.arm.learning_rate, trial.loss) for trial in finite if trial.arm is not None))


def trials_on_tune(record: StudyRecord, recipe: Arm) -> list[TrialRecord]:
    """Every trial of the recipe that was evaluated on tune, or should have been."""
    tuning = record.certification.tuning if record.certification else ()
    return [
        trial for trial in (*record.trials, *tuning) if (arm := trial.spec.arm) is not None and same_recipe(arm, recipe)
    ]


def same_recipe(arm: Arm, recipe: Arm) -> bool:
    """Whether two arms, as trained, differ only in rank and learning rate."""
    trained = recipe.parent
    return replace(arm.parent, rank=trained.rank, learning_rate=trained.learning_rate) == trained


def _late_loss(trial: TrialRecord, available: int) -> tuple[float, int] | None:
    """Mean training loss over the last steps (nats per completion token), and the number of their examples; None if an example may have
    been seen before, or not all are the task's.
    """
    training, history = trial.spec.training, trial.result.history
    if training.replay or training.early_stopping:
        return None
    per_step = training.batch_size * training.gradient_accumulation
    count = math.floor(training.steps * LATE)
    if not count or len(history) != training.steps or training.steps * per_step > available:
        return None
    loss = math.fsum(step.loss for step in history[-count:]) / count
    return (loss, count * per_step) if math.isfinite(loss) else None


def _pooled(trial: TrialRecord, late: tuple[float, int] | None) -> float:
    """The mean of the losses on tune and in the last steps, weighted by their numbers of examples."""
    measures = trial.result.measures
    if late is None or measures is None:
        return trial.loss
    loss, examples = late
    return (loss * examples + trial.loss * measures.examples) / (examples + measures.examples)


def _finite(trial: TrialRecord) -> bool:
    return trial.is_complete and math.isfinite(trial.loss)
