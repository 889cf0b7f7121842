"""How much of what was learned holds for other examples, and whether there was much to learn.

Both are one linear contrast of expected losses, tested at the level of the last look; docs/limits.md has the criteria in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np

from sweep.methods import FULL, LORA_FAMILY
from sweep.records import Certification, CompletedTrial, Rung, StudyRecord
from sweep.verdict.bounds import Array, lower_bounds
from sweep.verdict.ladder import LadderData

MEMORIZED = 0.5
"""Held-out examples that keep a smaller share than this of the gain on the training examples show that these are memorized."""

PASSES = 2.0
"""Fewest passes over the training examples after which their loss may be that of memory: in the first one they are new."""

SMALL_GAIN = 0.1
"""A gain below this share of the base's loss is small."""

_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Memorized:
    """Little of what is learned of the training examples holds for others.

    Attributes:
        rank: the smallest rank (or `Rung`) that was trained.
        passes, examples: over the training examples, and their number.
        first, training: loss on them in the first step and in the last pass, nats per token, mean over seeds.
        base, held_out: loss on certify of the unadapted base, and of this rank.
        kept, kept_at_most: the gain on certify as a share of the gain on the training examples, and its upper bound.
    """

    rank: int
    passes: float
    examples: int
    first: float
    training: float
    base: float
    held_out: float
    kept: float
    kept_at_most: float


def memorized(record: StudyRecord, certification: Certification, data: LadderData, level: float) -> Memorized | None:
    """Whether even the smallest trained rank memorizes its training examples.

    Shown if they were seen in at least `PASSES` passes, and if the gain on certify is less than `MEMORIZED` times that on the training
    examples. With the losses H on certify, B of the base on certify, F in the first step and R in the last pass over the training
    examples, the contrast is (F - R) / 2 - (B - H), and its lower bound must be above zero. F is the base's loss on a batch of training
    examples, another one for each seed, so its noise is part of the variance between seeds, and training examples may be easier than
    those of certify. R is measured step by step just before each update, with dropout: examples that are seen once more are known a little
    better, so the finding comes later rather than earlier.
    """
    rank = _smallest_trained(data)
    available = record.available.get("train", 0)
    if rank is None or data.base is None or not available:
        return None
    table = data.losses[data.ranks.index(rank)]
    trials = certification.complete(rank)[: len(table)]
    losses = [known for trial in trials if (known := _training_losses(trial, available)) is not None]
    if len(losses) < len(table) or len(table) < 2 or len(data.tokens) < 2:
        return None
    first, last = np.array(losses).T
    surely_below = partial(keeps_less, table, data.base, data.tokens, first, last, level)
    if not surely_below(MEMORIZED) or not float(first.mean()) > float(last.mean()):
        return None
    on_certify = [float(np.average(row, weights=data.tokens)) for row in (data.base, table.mean(axis=0))]
    return Memorized(
        rank=rank,
        passes=_passes(trials[0], available),
        examples=available,
        first=float(first.mean()),
        training=float(last.mean()),
        held_out=on_certify[1],
        base=on_certify[0],
        kept=(on_certify[0] - on_certify[1]) / float(first.mean() - last.mean()),
        kept_at_most=smallest_share(surely_below, MEMORIZED),
    )


def keeps_less(
    table: Array, base: Array, weights: Array, first: Array, last: Array, level: float, share: float
) -> bool:
    """Whether the gain on other examples is shown to be less than this share of the gain on the training examples.

    Args:
        table: (seeds, examples), losses on other examples; base: (examples,), the base's.
        first, last: (seeds,), losses on training examples of the base and in the last pass.
    """
    gained = share * (first - last)[:, None]
    return bool(lower_bounds((table + gained)[None, None], base, weights, np.array([[1.0, -1.0]]), 0.0, level) > 0)


def small_gain(data: LadderData, level: float) -> tuple[float, float] | None:
    """The base's loss and that of the best rank, if its gain is shown to be below `SMALL_GAIN` of the base's loss."""
    if data.base is None or not data.losses:
        return None
    means = data.mean_losses()
    table, kept = data.losses[means.index(min(means))], np.array([[1.0, SMALL_GAIN - 1]])
    if not lower_bounds(table[None, None], data.base, data.tokens, kept, 0.0, level) > 0:
        return None
    return float(np.average(data.base, weights=data.tokens)), min(means)


def smallest_share(holds: Callable[[float], bool], high: float) -> float:
    """The smallest share from zero for which a statement holds, which is known to hold at `high` and, where at all, above that share."""
    low = 0.0
    if holds(low):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _smallest_trained(data: LadderData) -> int | None:
    """The smallest rank that was trained with a method whose training begins at the base's loss; None if there is none."""
    if data.reference is not None:
        return data.reference if data.reference in data.ranks else None
    begins_at_base = (
        rank for rank in data.ranks if not isinstance(rank, Rung) or rank.of.arm.method in (FULL, *LORA_FAMILY)
    )
    return min(begins_at_base, default=None)


def _passes(trial: CompletedTrial, available: int) -> float:
    """How often the training has seen each of its examples."""
    training = trial.spec.training
    return training.steps * training.batch_size * training.gradient_accumulation / available


def _training_losses(trial: CompletedTrial, available: int) -> tuple[float, float] | None:
    """The training loss of the first step, and its mean over the last pass; None after too few passes, or if a step is not recorded."""
    training, history = trial.spec.training, trial.result.history
    a_pass = math.ceil(available / (training.batch_size * training.gradient_accumulation))
    if _passes(trial, available) < PASSES or len(history) != training.steps:
        return None
    first, last = history[0].loss, fmean(step.loss for step in history[-a_pass:])
    return (first, last) if math.isfinite(first) and math.isfinite(last) else None
