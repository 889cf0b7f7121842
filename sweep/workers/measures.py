"""A complete trial's figures, from its course and its scores. Pure arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sweep.records import Measures, StepLoss
from sweep.training.base_model import LoadedBase
from sweep.workers.course import RunningTrial
from sweep.workers.scorer import Scored

_SCORING = ("score", "answer", "general")
"""The phases that evaluation consists of."""


def measures_of(
    course: RunningTrial,
    scored: Scored,
    base: LoadedBase,
    *,
    parameters: int,
    adapter_bytes: int,
    general_before: float | None,
) -> Measures:
    """What a trial measured: its training's figures, whether it was trained in this trial or found, and its scores.

    Args:
        parameters: numbers that the adapter has; 0 for the bare base.
        adapter_bytes: of the adapter's file; 0 for the bare base.
        general_before: the base's loss on general prose.
    """
    outcome, general, training = scored.outcome, scored.general, course.training
    phases = {**(training.phases if training else {}), **course.phases}
    train_seconds = phases.get("train", 0.0)
    forgetting = None if general is None or general_before is None else general - general_before
    return Measures(
        loss=outcome.loss,
        metrics=outcome.metrics,
        examples=len(outcome.scores),
        tokens=sum(score.tokens for score in outcome.scores),
        peak_bytes=scored.peak,
        peak_above_base_bytes=max(0, scored.peak - base.resident),
        base_bytes=base.bytes,
        adapter_bytes=adapter_bytes,
        trainable_parameters=parameters,
        trainable_fraction=parameters / (base.parameters + parameters),
        train_seconds=train_seconds,
        eval_seconds=sum(seconds for phase, seconds in phases.items() if phase in _SCORING),
        tokens_per_second=_rate(training.tokens if training else 0, train_seconds),
        train_loss=_last_tenth(training.history if training else ()),
        general_loss=general,
        forgetting_loss_delta=None if course.spec.arm is None else forgetting,
        phases=phases,
        peak_of=scored.peak_of,
        kinds=dict(sorted(Counter(score.kind for score in outcome.scores if score.kind).items())),
    )


def _last_tenth(history: Sequence[StepLoss]) -> float | None:
    last = history[-max(1, len(history) // 10) :]
    return sum(step.loss for step in last) / len(last) if last else None


def _rate(amount: int, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
