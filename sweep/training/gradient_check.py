"""Detects adapter matrices without gradients in the first training steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sweep.errors import TrialDiverged, TrialFailed

SATURATED = 100.0
"""Entries of B above this mean a saturated model: AdamW moves an entry by about the learning rate per step."""

GRADIENT_CHECK_STEPS = 5
"""By this step each matrix must have had a gradient. In the first steps A's gradient is zero because B is zero."""


class GradientCheck:
    """Fails a trial whose adapter gets no gradients, which otherwise trains nothing without an error."""

    def __init__(self) -> None:
        self._without: set[str] | None = None

    def after_backward(self, matrices: Iterable[tuple[str, nn.Parameter]], step: int) -> None:
        """Call before optimizer step `step` (from 1), while the gradients exist.

        Args:
            matrices: the adapter's matrices by PEFT's names.

        Raises:
            TrialFailed: after 5 steps a matrix has had no nonzero gradient: none reached it, or the learning rate
                saturated the model (`TrialDiverged`).
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
            if not largest <= SATURATED:  # also true for NaN
                raise TrialDiverged(
                    f"diverged: B has grown to {largest:.0e}, the model is saturated and no gradient is left"
                )
            self._fail_if(self._without)

    def finish(self) -> None:
        """Call after training. Trainings of less than five steps are checked for B only, because a warm-up can delay
        A's first nonzero gradient.

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
    """The largest absolute entry of any B."""
    return max((float(matrix.detach().abs().max()) for name, matrix in matrices if "lora_B" in name), default=0.0)
