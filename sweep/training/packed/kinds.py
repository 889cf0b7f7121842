"""The methods that are packed: which class holds a slot's adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftConfig
from safetensors.torch import load_file

from sweep.errors import TrialFailed
from sweep.methods import method_of
from sweep.records import Arm
from sweep.training.adapters import WEIGHTS
from sweep.training.packed.adapter import Host, SlotAdapter
from sweep.training.packed.ia3 import Ia3Adapter
from sweep.training.packed.lora import LoraAdapter
from sweep.training.packed.virtual_tokens import PrefixAdapter, PromptAdapter

KINDS: Mapping[str, type[SlotAdapter]] = {
    "LoraConfig": LoraAdapter,
    "IA3Config": Ia3Adapter,
    "PromptTuningConfig": PromptAdapter,
    "PrefixTuningConfig": PrefixAdapter,
}
"""By the name of PEFT's configuration class."""


def new_adapter(arm: Arm, host: Host) -> SlotAdapter:
    """An adapter without first weights.

    Raises:
        ConfigurationError: a target module does not exist.
        ValueError: the method is not packed.
    """
    method = method_of(arm)
    if not method.packed or method.peft is None:
        raise ValueError(f"method={method.name} is not packed")
    return KINDS[method.peft](arm, host)


def load_slot_adapter(folder: Path, host: Host) -> SlotAdapter:
    """Loads a saved adapter.

    Raises:
        TrialFailed: the folder has no adapter in safetensors format, or one for another base or of a method that is not packed.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise TrialFailed(f"the adapter is missing: {folder}")
    config = PeftConfig.from_pretrained(str(folder))
    kind = KINDS.get(type(config).__name__)
    if kind is None:
        raise TrialFailed(f"the adapter in {folder} ({type(config).__name__}) cannot be packed; write engine=trainer")
    adapter, saved = kind(kind.arm_of(config), host), load_file(weights)
    matrices = dict(adapter.matrices())
    if {name: matrix.shape for name, matrix in matrices.items()} != {name: part.shape for name, part in saved.items()}:
        raise TrialFailed(f"the adapter in {folder} does not fit this base")
    with torch.no_grad():
        for name, matrix in matrices.items():
            matrix.copy_(saved[name])
    adapter.drop_gradients()
    return adapter
