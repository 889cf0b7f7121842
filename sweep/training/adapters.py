"""LoRA adapters on a warm base: put on, checked, saved, taken off again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import Arm

SATURATED = 100.0
"""Entries of B move by about the learning rate a step (AdamW), so only an absurd rate brings them here in five steps."""

GRADIENT_CHECK_STEPS = 5
"""By this step every adapter matrix must have had a gradient (in the first steps A's is zero because B still is)."""


def attach(model: nn.Module, arm: Arm) -> PeftModel:
    """Puts a fresh LoRA adapter on the base. Call `torch.manual_seed` before: A is drawn at random, B is zero.

    Raises:
        ConfigurationError: a target module does not exist.
    """
    config = LoraConfig(
        r=arm.rank,
        lora_alpha=arm.alpha,
        lora_dropout=arm.dropout,
        target_modules=list(arm.targets),
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigurationError(f"lora.targets={','.join(arm.targets)}: {error}") from error


def detach(adapted: PeftModel) -> nn.Module:
    """Takes the adapter off; the base is as it was before `attach`."""
    base: nn.Module = adapted.unload()
    if hasattr(base, "peft_config"):
        del base.peft_config
    return base


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The adapter's matrices by name."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def save_adapter(adapted: PeftModel, folder: Path) -> int:
    """Writes the adapter in PEFT's own format (safetensors); returns the bytes of its weights on disk."""
    adapted.save_pretrained(str(folder), safe_serialization=True)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _largest_b(model: nn.Module) -> float:
    """The largest entry of any B, which starts at zero."""
    found = [float(parameter.detach().abs().max()) for name, parameter in adapter_parameters(model) if "lora_B" in name]
    return max(found, default=0.0)


class GradientCheck:
    """Watches the first steps for adapters that gradients do not reach.

    A lost gradient trains nothing and is otherwise silent, so it ends the trial.
    """

    def __init__(self) -> None:
        self._without: set[str] | None = None

    def after_backward(self, model: Any, step: int) -> None:
        """Call with the gradients of optimizer step `step` (from 1) still there.

        Raises:
            TrialFailed: by step 5 an adapter matrix has never had a gradient other than zero: none reached it, or the
                learning rate has saturated the model.
        """
        if step > GRADIENT_CHECK_STEPS:
            return
        silent = {
            name
            for name, parameter in adapter_parameters(model)
            if parameter.grad is None or not bool(torch.any(parameter.grad != 0))
        }
        self._without = silent if self._without is None else self._without & silent
        if step == GRADIENT_CHECK_STEPS and self._without:
            largest = _largest_b(model)
            if largest > SATURATED:
                raise TrialFailed(
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
