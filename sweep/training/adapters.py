"""LoRA adapters on a warm base: put on, checked, saved, taken off again."""

from __future__ import annotations

import hashlib
import math
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


def attach(model: nn.Module, arm: Arm, seed: int) -> PeftModel:
    """Puts a fresh LoRA adapter on the base: A as PEFT draws it (Kaiming-uniform, U(-1/sqrt(in), 1/sqrt(in))), B zero.

    A's rows are drawn one after the other from a stream of the module's own, so that for one seed the A of a small rank
    is the top of the A of a larger one. Each has PEFT's distribution; only the difference between ranks, which is what a
    verdict is about, is less noisy (common random numbers).

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
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ConfigurationError(f"lora.targets={','.join(arm.targets)}: {error}") from error
    _draw_nested(adapted, seed)
    return adapted


def _draw_nested(adapted: PeftModel, seed: int) -> None:
    for name, parameter in adapter_parameters(adapted):
        if "lora_A" in name:
            stream = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") >> 1
            bound = 1 / math.sqrt(parameter.shape[1])
            drawn = torch.rand(parameter.shape, generator=torch.Generator().manual_seed(stream))
            with torch.no_grad():
                parameter.copy_((2 * drawn - 1) * bound)


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


def save_adapter(adapted: PeftModel, folder: Path) -> None:
    """Writes the adapter in PEFT's own format (safetensors)."""
    adapted.save_pretrained(str(folder), safe_serialization=True)


def load_adapter(model: nn.Module, folder: Path) -> PeftModel:
    """Puts a saved adapter on the base, as `attach` does a fresh one.

    Raises:
        TrialFailed: the folder holds no adapter in safetensors.
    """
    if not list(folder.glob("*.safetensors")):
        raise TrialFailed(f"the adapter to be scored is gone: {folder}")
    return PeftModel.from_pretrained(model, str(folder), is_trainable=True)


def weight_bytes(trial: Path) -> int:
    """Bytes on disk of the adapter weights in a trial's folder."""
    return sum(file.stat().st_size for file in trial.glob("adapter/*.safetensors"))


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
            if not largest <= SATURATED:  # NaN is neither
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
