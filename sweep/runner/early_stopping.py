"""Early stopping: training ends once the loss on tune no longer falls, and the weights with the lowest loss are kept.

It looks at the adapter from outside, as the reports to the pruner do, so both engines stop alike. The learning-rate schedule stays that
of the declared steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.errors import StoppedEarly
from sweep.records import Report, Training
from sweep.training.engine import AdaptedModel, Weights


@dataclass
class EarlyStopping:
    """The looks of one training.

    Attributes:
        looks: the losses on tune so far.
        kept_step: the step whose weights are kept; None before the first look with a finite loss.
    """

    recipe: Training
    looks: list[Report] = field(default_factory=list)
    kept_step: int | None = None
    _weights: Weights = ()

    def is_look(self, step: int) -> bool:
        """Whether the loss on tune is measured after this step: at every `train.early_stopping` steps, and at the last one."""
        return step % self.recipe.early_stopping == 0 or step == self.recipe.steps

    def look(self, adapted: AdaptedModel, step: int, loss_on_tune: Callable[[], float]) -> None:
        """Measures the loss, and keeps a copy of the weights if no earlier one was lower.

        Raises:
            StoppedEarly: `train.patience` looks in a row brought no lower loss.
        """
        loss = loss_on_tune()
        best = min((each.loss for each in self.looks if math.isfinite(each.loss)), default=math.inf)
        self.looks.append(Report(step, loss))
        if loss < best:
            self.kept_step, self._weights = step, adapted.copy_weights()
        elif step < self.recipe.steps and self._looks_since_best() >= self.recipe.patience:
            raise StoppedEarly(f"no lower loss on tune since step {self.kept_step}")

    def restore(self, adapted: AdaptedModel) -> None:
        """Puts the best weights back at the end of the training; without a finite loss the last ones stay."""
        if self.kept_step is not None:
            adapted.restore_weights(self._weights)
        self._weights = ()

    def _looks_since_best(self) -> int:
        return sum(each.step > (self.kept_step or 0) for each in self.looks)
