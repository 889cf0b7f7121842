"""Detects adapter matrices without gradients in the first training steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from sweep.errors import TrialDiverged, TrialFailed

SATURATED = 100.0
"""Entries of B above this mean a saturated model: AdamW moves an entry by about the learning rate per step."""

GRADIENT_CHECK_STEPS = 5
"""By this step each matrix must have had a gradient. In the first steps A's gradient is zero because B is zero."""


def largest_gradients(matrices: Iterable[tuple[str, nn.Parameter]]) -> torch.Tensor:
    """The largest absolute gradient of each matrix, 0 if it has none, on their device, shape (matrices,)."""
    parameters = [parameter for _, parameter in matrices]
    gradients = [
        parameter.new_zeros(1) if parameter.grad is None else parameter.grad.detach() for parameter in parameters
    ]
    return torch.stack(torch._foreach_norm(gradients, torch.inf))


class GradientCheck:
    """Fails a trial whose adapter gets no gradients, which otherwise trains nothing without an error."""

    def __init__(self) -> None:
        self._without: set[str] | None = None

    def needs(self, step: int) -> bool:
        """Whether the gradients before optimizer step `step` (from 1) are checked."""
        return step <= GRADIENT_CHECK_STEPS

    def after_backward(
        self, matrices: Iterable[tuple[str, nn.Parameter]], step: int, largest: Sequence[float] | None = None
    ) -> None:
        """Call before optimizer step `step` (from 1), while the gradients exist.

        Args:
            matrices: the adapter's matrices by PEFT's names.
            largest: their `largest_gradients`, if those were read back from the device already.

        Raises:
            TrialFailed: after 5 steps a matrix has had no nonzero gradient: none reached it, or the learning rate
                saturated the model (`TrialDiverged`).
        """
        if not self.needs(step):
            return
        matrices = list(matrices)
        if largest is None:
            largest = largest_gradients(matrices).tolist()
        silent = {name for (name, _), own in zip(matrices, largest, strict=True) if own == 0}  # not those that are NaN
        self._without = silent if self._without is None else self._without & silent
        if step == GRADIENT_CHECK_STEPS and self._without:
            largest_b = _largest_b(matrices)
            if not largest_b <= SATURATED:  # also true for NaN
                raise TrialDiverged(
                    f"diverged: B has grown to {largest_b:.0e}, the model is saturated and no gradient is left"
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
    """The largest absolute entry of any B; NaN if one is."""
    up = [matrix.detach() for name, matrix in matrices if "lora_B" in name]
    return float(torch.stack(torch._foreach_norm(up, torch.inf)).max()) if up else 0.0
