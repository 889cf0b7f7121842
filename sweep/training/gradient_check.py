"""Watches the first steps of a training for adapters that gradients do not reach."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sweep.errors import TrialDiverged, TrialFailed

SATURATED = 100.0
"""Entries of B move by about the learning rate a step (AdamW), so only an absurd rate brings them here in five steps."""

GRADIENT_CHECK_STEPS = 5
"""By this step every adapter matrix must have had a gradient (in the first steps A's is zero because B still is)."""


class GradientCheck:
    """Watches the first steps for adapters that gradients do not reach.

    A lost gradient trains nothing and is otherwise silent, so it ends the trial.
    """

    def __init__(self) -> None:
        self._without: set[str] | None = None

    def after_backward(self, matrices: Iterable[tuple[str, nn.Parameter]], step: int) -> None:
        """Call with the gradients of optimizer step `step` (from 1) still there.

        Args:
            matrices: the adapter's, by PEFT's names.

        Raises:
            TrialFailed: by step 5 an adapter matrix has never had a gradient other than zero: none reached it, or the
                learning rate has saturated the model.
        """
        if step > GRADIENT_CHECK_STEPS:
            return
        matrices = list(matrices)
        silent = {
            name for name, parameter in matrices if parameter.grad is None or not bool(torch.any(parameter.grad != 0))
        }
        self._without = silent if self._without is None else self._without & silent
        if step == GRADIENT_CHECK_STEPS and self._without:
            largest = _largest_b(matrices)
            if not largest <= SATURATED:  # NaN is neither
                raise TrialDiverged(
                    f"diverged: B has grown to {largest:.0e}, the model is saturated and no gradient is left"
                )
            self._fail_if(self._without)

    def finish(self) -> None:
        """Call at the end of training. Trainings shorter than five steps are checked for B alone, since A's gradient is
        zero until B has moved, which a warm-up can delay.

        Raises:
            TrialFailed: see `after_backward`.
        """
        self._fail_if({name for name in self._without or () if "lora_B" in name})

    def _fail_if(self, without: set[str]) -> None:
        if without:
            names = sorted(without)
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise TrialFailed(f"no gradient reached the adapter: {shown} had none in the first steps")


def _largest_b(matrices: Iterable[tuple[str, nn.Parameter]]) -> float:
    """The largest entry of any B, which starts at zero."""
    found = [float(matrix.detach().abs().max()) for name, matrix in matrices if "lora_B" in name]
    return max(found, default=0.0)
