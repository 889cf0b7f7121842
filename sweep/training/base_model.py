"""A base model in memory, ready to carry adapters."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from sweep.errors import ConfigurationError, GoldilocksError
from sweep.records import BaseModel, Quantization
from sweep.store.paths import ORIGIN, Paths
from sweep.training.batches import Collator
from sweep.training.frozen_weights import DequantizedCopies, speed_up
from sweep.training.machine import pick_device
from sweep.training.memory import is_out_of_memory, release, resident_bytes
from sweep.training.quantization import compute_dtype, quantization_config, storage_bytes
from sweep.training.sources import FoundModel, find_model, fingerprint


@dataclass(frozen=True)
class LoadedBase:
    """The frozen base and what belongs to it.

    Attributes:
        id: its name on the model hub, `ORG/NAME`; a plain name where it is on none.
        folder: where its files are on this machine.
        source: where the weights came from, see `sources.FoundModel`.
        hash: sha256 of the files, in hex.
        copies: the dequantized copies of its 4-bit weights, if any are kept.
        bytes: what holds the parameters, quantization constants included; copies do not count.
        resident: bytes resident (CPU) or allocated (CUDA) with the base loaded; copies do not count.
        linear_modules: full names of the modules that can carry an adapter.
        context: the longest sequence that the model takes, in tokens.
        parameters: how many parameters the model has (of 4-bit weights, the numbers they stand for).
        note: see `sources.FoundModel`.
    """

    model: nn.Module
    copies: DequantizedCopies
    tokenizer: Any
    collator: Collator
    device: torch.device
    id: str
    folder: Path
    source: str
    hash: str
    bytes: int
    resident: int
    linear_modules: tuple[str, ...]
    context: int
    parameters: int
    load_seconds: float
    note: str | None = None

    def write_origin(self, adapter: Path) -> None:
        """Writes beside an adapter which base it was trained on: the names that mean something elsewhere, and the folder here."""
        origin = {
            "base_model": self.id,
            "base_folder": str(self.folder),
            "base_source": self.source,
            "base_sha256": self.hash,
        }
        (adapter / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class OpenedBase:
    """A base model of which everything but the weights is in memory: enough to see which examples fit.

    Attributes:
        context: the longest sequence that the model takes, in tokens.
    """

    found: FoundModel
    tokenizer: Any
    context: int


def open_base(model: BaseModel, paths: Paths) -> OpenedBase:
    """Finds or fetches the base model and loads its tokenizer.

    Raises:
        ConfigurationError: the folder or the id is no causal language model.
        EnvironmentLacks: the model is not to be had.
    """
    found = find_model(model, paths)
    folder = str(found.folder)
    with reading(model, folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    context = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 20)
    return OpenedBase(found, tokenizer, context)


def load_base(
    model: BaseModel,
    quant: Quantization,
    paths: Paths,
    memory_budget: int | None = None,
    opened: OpenedBase | None = None,
) -> LoadedBase:
    """Loads tokenizer and base model, quantized, frozen, on the device.

    Args:
        memory_budget: bytes the process may use, or None; with a budget no dequantized copies are kept unless asked for.
        opened: the same model, if it was opened before.

    Raises:
        ConfigurationError: the folder or the id is no causal language model.
        EnvironmentLacks: the model is not to be had.
    """
    started = time.perf_counter()
    device = pick_device()
    opened = opened or open_base(model, paths)
    found, tokenizer = opened.found, opened.tokenizer
    folder = str(found.folder)
    with reading(model, folder):
        base, report = AutoModelForCausalLM.from_pretrained(
            folder,
            quantization_config=quantization_config(quant, device),
            dtype=compute_dtype(device),
            device_map={"": device},
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            output_loading_info=True,
        )
    check_complete(model, folder, base, report)
    base.requires_grad_(False)
    speed_up(base)
    base.config.use_cache = False
    release()
    resident = resident_bytes(device)
    accepted = inspect.signature(base.forward).parameters
    return LoadedBase(
        model=base,
        copies=DequantizedCopies(base, quant, device, memory_budget),
        tokenizer=tokenizer,
        collator=Collator(
            tokenizer.pad_token_id,
            keeps_logits="logits_to_keep" in accepted,
            takes_positions="position_ids" in accepted,
        ),
        device=device,
        id=model.id,
        folder=found.folder,
        source=found.source,
        hash=fingerprint(found.folder, paths.models / "hashes.json"),
        bytes=storage_bytes(base),
        resident=resident,
        linear_modules=_linear_modules(base),
        context=opened.context,
        parameters=_parameters(base),
        load_seconds=time.perf_counter() - started,
        note=found.note,
    )


def _linear_modules(model: nn.Module) -> tuple[str, ...]:
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return tuple(
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    )


def _parameters(model: nn.Module) -> int:
    # a 4-bit weight is stored two numbers a byte; its quant_state remembers the real shape
    total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        total += state.shape.numel() if state is not None else parameter.numel()
    return total


_SHOWN = 300
"""So many characters of what a library says are repeated."""

_OTHER_SHAPES = "its weights have other shapes than its config.json asks for; see that both belong together"


@contextmanager
def reading(model: BaseModel, folder: Path | str) -> Iterator[None]:
    """Around whatever reads a model's files, with its own code or with a library's.

    Raises:
        ConfigurationError: they cannot be used, whatever the library stumbled over; the text says what to do.
        ImportError: its own code wants a package that is not installed.
        MemoryError, RuntimeError: memory ran out.
    """
    try:
        yield
    except (GoldilocksError, ImportError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ConfigurationError(f"model={model.name} ({folder}): {_in_words(error, Path(folder))}") from error


def check_complete(model: BaseModel, folder: Path | str, base: nn.Module, report: Mapping[str, Any]) -> None:
    """Weights that the files lack would be random numbers; 4-bit weights of another shape are not refused by transformers.

    Args:
        report: what `from_pretrained(output_loading_info=True)` says.

    Raises:
        ConfigurationError: some are missing, or have another shape.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigurationError(
            f"model={model.name} ({folder}): its safetensors lack weights that its config.json asks for: "
            f"{', '.join(missing[:3])}{more}; download the whole model, or see that both belong together"
        )
    for name, module in base.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and tuple(state.shape) != (module.out_features, module.in_features):
            raise ConfigurationError(f"model={model.name} ({folder}): {name}: {_OTHER_SHAPES}")


def _in_words(error: Exception, folder: Path) -> str:
    if isinstance(error, SafetensorError):
        file, why = _broken_file(folder) or ("a safetensors file", str(error))
        return f"{file} is damaged ({why}); download or convert the model anew"
    said = " ".join(str(error).split())
    if "trust_remote_code" in said:
        return (
            "it comes with code of its own, which is not run unasked; read the code, and if you trust it write "
            "model.trust_remote_code=true"
        )
    if "ignore_mismatched_sizes" in said:
        return _OTHER_SHAPES
    shown = said[:_SHOWN] + ("..." if len(said) > _SHOWN else "")
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return f"cannot be loaded as a causal language model: {kind}{shown}"


def _broken_file(folder: Path) -> tuple[str, str] | None:
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(file), framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            return file.name, str(error)
    return None
