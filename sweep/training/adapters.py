"""Adapters through PEFT: attach, initialize, save, load, detach. Full fine-tuning (`sweep.training.full`) takes the same way."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from sweep.errors import ConfigurationError, TrialFailed
from sweep.methods import TrainingFacts, method_of
from sweep.methods.initialization import is_subtracted
from sweep.methods.module_ranks import for_modules, has_patterns, is_in_layers
from sweep.records import Arm
from sweep.records.layers import layer_ranges
from sweep.training import full
from sweep.training.starts import Starts, begin_at, has_initial_product, with_initial_product

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_NO_FACTS = TrainingFacts()


def peft_config(
    arm: Arm, base_name: str | None = None, *, facts: TrainingFacts = _NO_FACTS, inference_mode: bool = False
) -> PeftConfig:
    """PEFT's configuration of the arm's adapter.

    Args:
        base_name: name of the base on the model hub.
    """
    method = method_of(arm)
    if method.peft is None:
        raise ValueError(f"method={method.name} has no adapter")
    config: PeftConfig = getattr(peft, method.peft)(
        **method.settings(arm, facts),
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base_name,
        inference_mode=inference_mode,
    )
    return config


def attach(
    model: nn.Module, arm: Arm, seed: int, facts: TrainingFacts = _NO_FACTS, starts: Starts | None = None
) -> Any:
    """Attaches a new adapter to the base; with `method=full` makes the base itself trainable.

    LoRA's A has PEFT's distribution (Kaiming uniform, U(-1/sqrt(in), 1/sqrt(in))), and B is zero. Each module draws the rows of A
    in order from its own random stream, so for one seed the A of a small rank is the top of the A of a larger rank.
    These common random numbers reduce the noise of differences between ranks, which the verdict estimates. Other methods draw their
    first weights as PEFT does, from torch's global random state.

    Args:
        starts: what A and B start as with another initialization.

    Returns:
        a `PeftModel` around the base, or the base itself.

    Raises:
        ConfigurationError: a target module does not exist, or the model cannot be adapted in this way.
    """
    method = method_of(arm)
    if method.trains_base:
        return full.begin(model)
    if has_patterns(arm):
        modules = tuple(name for name, _ in model.named_modules())
        arm = for_modules(arm, [name for name in modules if _is_targeted(arm, name)])
    try:
        adapted = get_peft_model(model, peft_config(arm, facts=facts))
    except (ValueError, AttributeError, NotImplementedError) as error:
        if hasattr(model, "peft_config"):
            del model.peft_config
        what = f"lora.targets={','.join(arm.targets)}" if arm.targets else f"method={method.name}"
        raise ConfigurationError(f"{what}: {error}") from error
    if method.peft == "LoraConfig":
        _initialize_a(adapted, seed)
        if starts:
            begin_at(adapted, starts, subtracted=is_subtracted(arm))
    scale = dict(arm.own).get("initial_scale")
    if isinstance(scale, float):
        with torch.no_grad():
            for _, parameter in adapter_parameters(adapted):
                parameter.mul_(scale)
    return adapted


def first_weights(model: nn.Module, arm: Arm, seed: int) -> list[torch.Tensor]:
    """The trainable weights of an adapter that `attach` makes with torch's random state after this seed.

    The base and torch's random state are afterwards as they were.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adapted = attach(model, arm, seed)
        weights = [parameter.detach().clone() for _, parameter in adapter_parameters(adapted)]
    detach(adapted)
    return weights


def initial_a(seed: int, module: str, shape: tuple[int, int]) -> torch.Tensor:
    """The initial A of a module's adapter, shape (rank, in_features).

    Args:
        module: full name of the linear module in the base.
        shape: (rank, in_features).
    """
    return (2 * torch.rand(shape, generator=random_stream(seed, module)) - 1) / math.sqrt(shape[1])


def random_stream(seed: int, module: str) -> torch.Generator:
    """The random stream from which a module's adapter draws its first values."""
    name = f"base_model.model.{module}.lora_A.default.weight"
    stream = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(stream)


def _initialize_a(adapted: PeftModel, seed: int) -> None:
    for name, parameter in adapter_parameters(adapted):
        if "lora_A" in name:
            module = name.removeprefix("base_model.model.").partition(".lora_A.")[0]
            with torch.no_grad():
                parameter.copy_(initial_a(seed, module, (parameter.shape[0], parameter.shape[1])))


def target_modules(arm: Arm, modules: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that the arm targets. As in PEFT, a target is a full name or the end of one.

    Raises:
        ConfigurationError: a target matches no module, or none is in the arm's layers.
    """
    missing = [target for target in arm.targets if not any(f".{name}".endswith(f".{target}") for name in modules)]
    if missing:
        raise ConfigurationError(f"lora.targets={','.join(missing)}: the model has no linear module of that name")
    targeted = tuple(name for name in modules if _is_targeted(arm, name))
    if not targeted and arm.layers:
        raise ConfigurationError(f"lora.layers={layer_ranges(arm.layers)}: no target module is in these layers")
    return targeted


def _is_targeted(arm: Arm, name: str) -> bool:
    return any(f".{name}".endswith(f".{target}") for target in arm.targets) and is_in_layers(arm, name)


def detach(adapted: Any) -> nn.Module:
    """Removes the adapter; the base is as it was before `attach`."""
    if not isinstance(adapted, PeftModel):
        return full.end(adapted)
    base: nn.Module
    if adapted.active_peft_config.is_prompt_learning:
        base = adapted.get_base_model()
    elif adapted.active_peft_config.is_adaption_prompt:  # PEFT has no way of unloading it
        base = adapted.base_model.model
        adapted.base_model.delete_adapter(adapted.active_adapter)
    else:
        # PEFT merges when it unloads IA3, which quantized weights do not allow
        base = _unwrapped(adapted.base_model.model)
    if hasattr(base, "peft_config"):
        del base.peft_config
    return base


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model with each of PEFT's layers replaced by the layer around which it is; weights stay as they are."""
    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer) and hasattr(module, "base_layer"):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module.base_layer)
    return model


def has_virtual_tokens(model: Any) -> bool:
    """Whether the model puts trained tokens before its input."""
    return isinstance(model, PeftModel) and bool(model.active_peft_config.is_prompt_learning)


def trainable_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and matrix of each trainable parameter."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def save_adapter(adapted: Any, folder: Path, base_name: str) -> None:
    """Saves the adapter in PEFT's format (safetensors), without PEFT's model card; of `method=full` all weights.

    Args:
        base_name: name of the base on the model hub.
    """
    if not isinstance(adapted, PeftModel):
        full.save(adapted, folder)
        return
    with warnings.catch_warnings():
        # AdaLoRA takes all rank from modules that do not need any
        warnings.filterwarnings("ignore", r".*LoRA tensor\(s\) have invalid shape")
        adapted.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    # before it saves, PEFT looks the configured base up on the hub; so the name is written afterwards
    file = folder / CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    config = {**config, "base_model_name_or_path": base_name}
    if has_initial_product(adapted):
        config, weights = with_initial_product(adapted, config, load_file(folder / WEIGHTS))
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    use_default_permissions(folder)


def module_ranks(folder: Path) -> dict[str, int]:
    """The rank of each module of a saved adapter whose ranks differ, by the module's name in the base; empty for all others.

    AdaLoRA's configuration says of each of a module's initial ranks whether it is left (`rank_pattern`).
    """
    file = folder / CONFIG
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    pattern = config.get("rank_pattern")
    if pattern and config.get("peft_type") == "LORA":
        return _ranks_of_weights(folder / WEIGHTS)
    return {
        name.removesuffix(".lora_E"): sum(rank) if isinstance(rank, list) else int(rank)
        for name, rank in (pattern or {}).items()
    }


def _ranks_of_weights(file: Path) -> dict[str, int]:
    """The rows of each A in a file of LoRA's weights, by the module's name in the base."""
    first, last = "base_model.model.", ".lora_A.weight"
    with safe_open(file, framework="pt") as weights:
        names = [name for name in weights.keys() if name.endswith(last)]  # noqa: SIM118 (no mapping)
        return {
            name.removeprefix(first).removesuffix(last): int(weights.get_slice(name).get_shape()[0]) for name in names
        }


def use_default_permissions(folder: Path) -> None:
    """Gives the weights the permissions of any new file; safetensors makes them readable by the owner only."""
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(folder / CONFIG, weights)


def from_pretrained(model: nn.Module, folder: Path, **arguments: Any) -> PeftModel:
    """`PeftModel.from_pretrained`, which warns of AdaLoRA's ranks before it uses them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The following rank_pattern keys did not match", RuntimeWarning)
        return PeftModel.from_pretrained(model, str(folder), **arguments)


def load_adapter(model: nn.Module, folder: Path) -> Any:
    """Attaches a saved adapter to the base; weights of `method=full` replace the base's until they are detached.

    Raises:
        TrialFailed: the folder has no safetensors file, or a damaged one.
    """
    if not list(folder.glob("*.safetensors")):
        raise TrialFailed(f"the adapter is missing: {folder}")
    try:
        if not (folder / CONFIG).is_file():
            return full.load(model, folder)
        # PEFT loads virtual tokens for inference only
        virtual = PeftConfig.from_pretrained(str(folder)).is_prompt_learning
        return from_pretrained(model, folder, is_trainable=not virtual)
    except SafetensorError as error:
        raise TrialFailed(f"the adapter is damaged: {folder}: {error}") from error


def weight_bytes(folder: Path) -> int:
    """Size in bytes of an adapter's weight files."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
