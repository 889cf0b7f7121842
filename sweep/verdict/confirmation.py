"""Whether a rank that is certified as cut is as good when it is trained from the start, with the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sweep.records import Certification
from sweep.verdict.bounds import Side, estimates, moments


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The comparison of adapters trained at a rank with those cut to it, paired by seed. Losses in nats per token on certify.

    Attributes:
        seeds: those that both have.
        trained: mean loss of the adapters trained at the rank.
        cut: mean loss of the adapters cut to it, with the same seeds.
        difference: `trained` minus `cut`.
        lower, upper: confidence bounds of the difference, alpha on each side; infinite with fewer than two seeds or examples.
        margin: in the same unit; None if unknown.
        learning_rate: the tuned rate of the trained ones.
        failed: number of trials without a result.
        at_edge: whether that rate is at the edge of the range that may be tried, so that a better one may lie beyond.
    """

    rank: int
    seeds: int
    trained: float
    cut: float
    difference: float
    lower: float
    upper: float
    margin: float | None
    learning_rate: float
    failed: int = 0
    at_edge: bool = False

    @property
    def agree(self) -> bool | None:
        """True if both are shown to be within the margin of each other, False if they are shown not to be, None if it is open."""
        if self.margin is None:
            return None
        if -self.margin < self.lower and self.upper < self.margin:
            return True
        return False if self.lower > self.margin or self.upper < -self.margin else None


def confirmation(certification: Certification, rank: int, margin: float | None) -> Confirmation | None:
    """The comparison at a rank; None before any trial of it was trained from the start."""
    own = [trial for trial in certification.confirmed if certification.rung_of(trial) == rank]
    trained = {trial.seed: trial.completed() for trial in own if trial.is_complete}
    pairs = [(trained[trial.seed], trial) for trial in certification.complete(rank) if trial.seed in trained]
    if not pairs:
        return None
    # while examples are being added, some trials do not have all of them yet
    examples = min(len(trial.nats) for pair in pairs for trial in pair)
    tokens = np.asarray(certification.tokens[:examples], dtype=np.float64)
    losses = np.array([[trial.nats[:examples] for trial in of] for of in zip(*pairs, strict=True)]) / tokens
    means = losses.mean(axis=1) @ tokens / tokens.sum()
    choice = certification.rate_of(rank)
    difference, half_width = float(means[0] - means[1]), math.inf
    if len(pairs) > 1 and examples > 1:
        of = moments(losses[None], np.zeros(examples), tokens)
        each = estimates(of, np.array([[1.0, -1.0, 0.0]]), 0.0)
        widths = [float(each.half_width(side, certification.declared.alpha)[0, 0]) for side in (Side.LOWER, Side.UPPER)]
        half_width = max(widths)
    return Confirmation(
        rank=rank,
        seeds=len(pairs),
        trained=float(means[0]),
        cut=float(means[1]),
        difference=difference,
        lower=difference - half_width,
        upper=difference + half_width,
        margin=margin,
        learning_rate=pairs[0][0].arm.learning_rate,
        failed=len(own) - len(trained),
        at_edge=choice is not None and choice.at_edge,
    )
