"""LoRA adapters on a warm base: put on, checked, saved, taken off again."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors import SafetensorError
from torch import nn

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import Arm

_CONFIG = "adapter_config.json"


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
        use_rslora=arm.use_rslora,
        target_modules=list(arm.targets),
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        if hasattr(model, "peft_config"):
            del model.peft_config
        raise ConfigurationError(f"lora.targets={','.join(arm.targets)}: {error}") from error
    _draw_nested(adapted, seed)
    return adapted


def first_weights(seed: int, module: str, shape: tuple[int, int]) -> torch.Tensor:
    """The A that a module's adapter begins with, of shape (rank, inputs).

    Args:
        module: the linear module's full name in the base.
    """
    name = f"base_model.model.{module}.lora_A.default.weight"
    stream = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") >> 1
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(stream))
    return (2 * drawn - 1) / math.sqrt(shape[1])


def _draw_nested(adapted: PeftModel, seed: int) -> None:
    for name, parameter in adapter_parameters(adapted):
        if "lora_A" in name:
            module = name.removeprefix("base_model.model.").partition(".lora_A.")[0]
            with torch.no_grad():
                parameter.copy_(first_weights(seed, module, (parameter.shape[0], parameter.shape[1])))


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


def save_adapter(adapted: PeftModel, folder: Path, base_name: str) -> None:
    """Writes the adapter in PEFT's own format (safetensors), and nothing of PEFT's model card.

    Args:
        base_name: what the base is called on the model hub.
    """
    adapted.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    # PEFT asks the hub for the base that a configuration names before it saves, so the name is written afterwards
    file = folder / _CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "base_model_name_or_path": base_name}, indent=2), encoding="utf-8")
    readable_like_others(folder)


def readable_like_others(folder: Path) -> None:
    """Gives an adapter's weights the permissions of a plain new file: safetensors writes them for their owner alone."""
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / _CONFIG, weights)


def load_adapter(model: nn.Module, folder: Path) -> PeftModel:
    """Puts a saved adapter on the base, as `attach` does a fresh one.

    Raises:
        TrialFailed: the folder holds no adapter in safetensors, or a damaged one.
    """
    if not list(folder.glob("*.safetensors")):
        raise TrialFailed(f"the adapter to be scored is gone: {folder}")
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except SafetensorError as error:
        raise TrialFailed(f"the adapter to be scored is damaged: {folder}: {error}") from error


def weight_bytes(folder: Path) -> int:
    """Bytes on disk of the weights in an adapter's folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
