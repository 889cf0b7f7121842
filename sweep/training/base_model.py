"""Loading of base models, and clear errors for files that cannot be loaded."""

from __future__ import annotations

import inspect
import json
import time
import traceback
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
from sweep.store.fingerprints import fingerprint
from sweep.store.paths import ORIGIN, Paths
from sweep.training.adapters import has_virtual_tokens
from sweep.training.batches import Collator, RightPaddedCollator
from sweep.training.device_errors import is_device_failure, is_out_of_memory, naming_lack_of_memory
from sweep.training.frozen_weights import DequantizedCopies, speed_up
from sweep.training.machine import pick_device
from sweep.training.memory import release, resident_bytes
from sweep.training.quantization import compute_dtype, model_dtype, quantization_config, storage_bytes
from sweep.training.sources import ModelFiles, find_model


@dataclass(frozen=True)
class LoadedBase:
    """A frozen base model in memory, its tokenizer, and facts about both.

    Attributes:
        copies: dequantized copies of the 4-bit weights; may be empty.
        compute: dtype of products with the frozen weights, except those of the output head; all else has the dtype of the model.
        id: name on the model hub, `ORG/NAME`; a plain name for a model that is not on the hub.
        folder: folder of the model's files.
        source: see `sources.ModelFiles`.
        hash: sha256 of the files, in hex.
        bytes: storage of the parameters, with quantization constants, without copies.
        resident: memory in bytes with the base loaded, resident (CPU) or allocated (GPU), without copies.
        linear_modules: full names of the modules that an adapter can target.
        context: maximum sequence length in tokens.
        parameters: number of parameters; a packed 4-bit weight counts as its unpacked values.
        note: see `sources.ModelFiles`.
    """

    model: nn.Module
    copies: DequantizedCopies
    compute: torch.dtype
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

    def collator_for(self, model: Any) -> Collator | RightPaddedCollator:
        """What makes batches for the base with this adapter."""
        return RightPaddedCollator(self.tokenizer.pad_token_id) if has_virtual_tokens(model) else self.collator

    def write_origin(self, adapter: Path) -> None:
        """Writes the base's id, folder, source and hash into the adapter's folder."""
        origin = {
            "base_model": self.id,
            "base_folder": str(self.folder),
            "base_source": self.source,
            "base_sha256": self.hash,
        }
        (adapter / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class OpenedBase:
    """A base model's files and tokenizer, without its weights: enough to encode examples and check their length.

    Attributes:
        context: maximum sequence length in tokens.
    """

    files: ModelFiles
    tokenizer: Any
    context: int


def open_base(model: BaseModel, paths: Paths) -> OpenedBase:
    """Finds or fetches the base model and loads its tokenizer.

    Raises:
        ConfigurationError: folder or id is not a causal language model.
        EnvironmentLacks: the model is not available on this machine.
    """
    return open_files(model, find_model(model, paths))


def open_files(model: BaseModel, files: ModelFiles) -> OpenedBase:
    """Loads the tokenizer of a model whose files are known.

    Raises:
        ConfigurationError: folder or id is not a causal language model.
    """
    folder = str(files.folder)
    with reading(model, folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    context = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 20)
    return OpenedBase(files, tokenizer, context)


@naming_lack_of_memory("the base model was loaded")
def load_base(
    model: BaseModel,
    quant: Quantization,
    paths: Paths,
    memory_budget: int | None = None,
    opened: OpenedBase | None = None,
    device: torch.device | None = None,
) -> LoadedBase:
    """Loads tokenizer and base model: quantized, frozen, on the device.

    Args:
        memory_budget: bytes that the process may use, or None. With a budget, `quant.cache=auto` keeps no dequantized copies.
        opened: the result of `open_base` for this model, if available.
        device: where it is loaded; None: the GPU that torch can use, else the CPU.

    Raises:
        ConfigurationError: folder or id is not a causal language model, or the device cannot compute in `quant.compute`.
        EnvironmentLacks: the model is not available on this machine, or does not fit into its memory.
    """
    started = time.perf_counter()
    device = device or pick_device()
    compute = compute_dtype(quant, device)
    opened = opened or open_base(model, paths)
    files, tokenizer = opened.files, opened.tokenizer
    folder = str(files.folder)
    with reading(model, folder):
        base, report = AutoModelForCausalLM.from_pretrained(
            folder,
            quantization_config=quantization_config(quant, compute),
            dtype=model_dtype(compute, device),
            device_map={"": device},
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            output_loading_info=True,
        )
    check_complete(model, folder, base, report)
    base.requires_grad_(False)
    speed_up(base, model_dtype(compute, device) is not compute)
    base.config.use_cache = False
    release()
    resident = resident_bytes(device)
    accepted = inspect.signature(base.forward).parameters
    return LoadedBase(
        model=base,
        copies=DequantizedCopies(base, quant, compute, device, memory_budget),
        compute=compute,
        tokenizer=tokenizer,
        collator=Collator(
            tokenizer.pad_token_id,
            keeps_logits="logits_to_keep" in accepted,
            takes_positions="position_ids" in accepted,
        ),
        device=device,
        id=model.id,
        folder=files.folder,
        source=files.source,
        hash=fingerprint(files.folder, paths.models / "hashes.json"),
        bytes=storage_bytes(base),
        resident=resident,
        linear_modules=_linear_modules(base),
        context=opened.context,
        parameters=_parameters(base),
        load_seconds=time.perf_counter() - started,
        note=files.note,
    )


def _linear_modules(model: nn.Module) -> tuple[str, ...]:
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return tuple(
        name
        for name, module in model.named_modules()
        if module is not head and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    )


def _parameters(model: nn.Module) -> int:
    # a 4-bit weight stores two values per byte; its quant_state has the unpacked shape
    total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        total += state.shape.numel() if state is not None else parameter.numel()
    return total


_SHOWN = 300
"""Maximum number of characters quoted from a library's error."""

_OTHER_SHAPES = "the weights have other shapes than config.json expects; both must come from the same model"


@contextmanager
def reading(model: BaseModel, folder: Path | str) -> Iterator[None]:
    """Context for code that reads a model's files: turns any error of a library into a clear one.

    Raises:
        ConfigurationError: the files cannot be used; the text says what to do.
        ImportError: the model's own code needs a package that is not installed.
        MemoryError, RuntimeError: memory ran out, or the device failed.
    """
    try:
        yield
    except (GoldilocksError, ImportError):
        raise
    except Exception as error:
        if is_out_of_memory(error) or is_device_failure(error):
            raise
        for hidden in _errors_in_report(error):
            if is_out_of_memory(hidden) or is_device_failure(hidden):
                raise hidden from None
        raise ConfigurationError(f"model={model.name} ({folder}): {_in_words(error, Path(folder))}") from error


def _errors_in_report(error: Exception) -> Iterator[RuntimeError]:
    """The errors that transformers caught while it quantized weights: what it raises in the end only points to its own log."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        caught = getattr(frame.f_locals.get("loading_info"), "conversion_errors", None)
        if isinstance(caught, Mapping):
            for text in caught.values():
                yield from (RuntimeError(line.strip()) for line in str(text).splitlines() if "error" in line.lower())


def check_complete(model: BaseModel, folder: Path | str, base: nn.Module, report: Mapping[str, Any]) -> None:
    """Checks the loaded weights: transformers initializes missing ones randomly and accepts 4-bit ones of a wrong shape.

    Args:
        report: the loading info of `from_pretrained(output_loading_info=True)`.

    Raises:
        ConfigurationError: weights are missing or have another shape.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigurationError(
            f"model={model.name} ({folder}): weights that config.json expects are not in its safetensors files: "
            f"{', '.join(missing[:3])}{more}; download the complete model, or make sure that both come from the same model"
        )
    for name, module in base.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None and tuple(state.shape) != (module.out_features, module.in_features):
            raise ConfigurationError(f"model={model.name} ({folder}): {name}: {_OTHER_SHAPES}")


def _in_words(error: Exception, folder: Path) -> str:
    if isinstance(error, SafetensorError):
        file, reason = _broken_file(folder) or ("a safetensors file", str(error))
        return f"{file} is damaged ({reason}); download or convert the model again"
    message = " ".join(str(error).split())
    if "trust_remote_code" in message:
        return (
            "the model comes with its own code, which is not run by default; review the code and, if you trust it, set "
            "model.trust_remote_code=true"
        )
    if "ignore_mismatched_sizes" in message:
        return _OTHER_SHAPES
    shown = message[:_SHOWN] + ("..." if len(message) > _SHOWN else "")
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
