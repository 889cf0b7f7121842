"""LoRA adapters through PEFT: attach, initialize, save, load, detach."""

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

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def lora_config(arm: Arm, base_name: str | None = None, *, inference_mode: bool = False) -> LoraConfig:
    """PEFT's configuration of the arm's adapter.

    Args:
        base_name: name of the base on the model hub.
    """
    return LoraConfig(
        r=arm.rank,
        lora_alpha=arm.alpha,
        lora_dropout=arm.dropout,
        use_rslora=arm.use_rslora,
        target_modules=list(arm.targets),
        bias="none",
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base_name,
        inference_mode=inference_mode,
    )


def attach(model: nn.Module, arm: Arm, seed: int) -> PeftModel:
    """Attaches a new LoRA adapter to the base.

    A has PEFT's distribution (Kaiming uniform, U(-1/sqrt(in), 1/sqrt(in))), and B is zero. Each module draws the rows of A
    in order from its own random stream, so for one seed the A of a small rank is the top of the A of a larger rank.
    These common random numbers reduce the noise of differences between ranks, which the verdict estimates.

    Raises:
        ConfigurationError: a target module does not exist.
    """
    try:
        adapted = get_peft_model(model, lora_config(arm))
    except ValueError as error:
        if hasattr(model, "peft_config"):
            del model.peft_config
        raise ConfigurationError(f"lora.targets={','.join(arm.targets)}: {error}") from error
    _initialize_a(adapted, seed)
    return adapted


def initial_a(seed: int, module: str, shape: tuple[int, int]) -> torch.Tensor:
    """The initial A of a module's adapter, shape (rank, in_features).

    Args:
        module: full name of the linear module in the base.
        shape: (rank, in_features).
    """
    name = f"base_model.model.{module}.lora_A.default.weight"
    stream = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") >> 1
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(stream))
    return (2 * uniform - 1) / math.sqrt(shape[1])


def _initialize_a(adapted: PeftModel, seed: int) -> None:
    for name, parameter in adapter_parameters(adapted):
        if "lora_A" in name:
            module = name.removeprefix("base_model.model.").partition(".lora_A.")[0]
            with torch.no_grad():
                parameter.copy_(initial_a(seed, module, (parameter.shape[0], parameter.shape[1])))


def detach(adapted: PeftModel) -> nn.Module:
    """Removes the adapter; the base is as it was before `attach`."""
    base: nn.Module = adapted.unload()
    if hasattr(base, "peft_config"):
        del base.peft_config
    return base


def trainable_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and matrix of each trainable parameter."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def save_adapter(adapted: PeftModel, folder: Path, base_name: str) -> None:
    """Saves the adapter in PEFT's format (safetensors), without PEFT's model card.

    Args:
        base_name: name of the base on the model hub.
    """
    adapted.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    # before it saves, PEFT looks the configured base up on the hub; so the name is written afterwards
    file = folder / CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "base_model_name_or_path": base_name}, indent=2), encoding="utf-8")
    use_default_permissions(folder)


def use_default_permissions(folder: Path) -> None:
    """Gives the weights the permissions of any new file; safetensors makes them readable by the owner only."""
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / CONFIG, weights)


def load_adapter(model: nn.Module, folder: Path) -> PeftModel:
    """Attaches a saved adapter to the base.

    Raises:
        TrialFailed: the folder has no safetensors file, or a damaged one.
    """
    if not list(folder.glob("*.safetensors")):
        raise TrialFailed(f"the adapter is missing: {folder}")
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except SafetensorError as error:
        raise TrialFailed(f"the adapter is damaged: {folder}: {error}") from error


def weight_bytes(folder: Path) -> int:
    """Size in bytes of an adapter's weight files."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
