"""Storage of the frozen base with bitsandbytes (4-bit, int8, or unquantized), and guards for training on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import bitsandbytes as bnb
import torch
from torch import nn
from transformers import BitsAndBytesConfig

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import AUTO_COMPUTE, Quantization
from sweep.records.quants import KINDS, transformers_settings
from sweep.training.machine import device_name, kind_of, multiplies_bfloat16


def compute_dtype(quant: Quantization, device: torch.device) -> torch.dtype:
    """The dtype of products with the frozen base.

    `auto`, which a plan has only where it continues a study that never named a type, is bf16 on GPUs that have it in hardware (torch
    emulates it on V100 and T4), else fp32.

    Raises:
        ConfigurationError: bf16 is asked for, and device or torch cannot multiply it.
    """
    if quant.compute == "float32":
        return torch.float32
    on_gpu = kind_of(device).is_gpu
    native = on_gpu and multiplies_bfloat16(device)
    if quant.compute == AUTO_COMPUTE:
        return torch.bfloat16 if native else torch.float32
    if on_gpu and not native:
        raise ConfigurationError(
            f"quant.compute=bfloat16: {device_name(device)} does not multiply bfloat16; write quant.compute=float32"
        )
    if not on_gpu:
        _check_bfloat16_on_cpu(quant)
    return torch.bfloat16


def compute_note(compute: torch.dtype, device: torch.device) -> str | None:
    """Says that a GPU computes in fp32 because it has no bf16; None otherwise."""
    if compute is torch.bfloat16 or not kind_of(device).is_gpu or multiplies_bfloat16(device):
        return None
    return f"{device_name(device)} does not multiply bfloat16, so this study computes in float32, which takes more time and memory"


def usable_on(quant: Quantization, device: torch.device) -> Quantization:
    """The quantization with another `compute` if this device cannot multiply in its own: answers may come from another machine."""
    try:
        compute_dtype(quant, device)
    except ConfigurationError:
        return replace(quant, compute="float32")
    return quant


def _check_bfloat16_on_cpu(quant: Quantization) -> None:
    if KINDS[quant.name].whole_numbers:
        raise ConfigurationError(
            "quant.compute=bfloat16: with quant=int8 a processor multiplies whole numbers; write quant.compute=float32, or another "
            "quant"
        )
    if not onednn_multiplies_bfloat16():
        raise ConfigurationError(
            "quant.compute=bfloat16: this processor (without AVX-512), or this build of torch (without oneDNN), cannot multiply "
            "bfloat16; write quant.compute=float32"
        )


def onednn_multiplies_bfloat16() -> bool:
    """Whether torch multiplies bf16 on this processor through oneDNN; without it, torch does so number by number."""
    # torch.backends.mkldnn has no public question for it; the operator is there since torch 2.1
    ask = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return torch.backends.mkldnn.is_available() and ask is not None and bool(ask())


def model_dtype(compute: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of activations, norms and embeddings: fp32 on a CPU, where only the products are computed in another type."""
    return compute if kind_of(device).compute_of_all else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def quantization_config(quant: Quantization, compute: torch.dtype) -> BitsAndBytesConfig | None:
    """The bitsandbytes configuration, None for `quant=none` (QLoRA: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314).

    With 8-bit weights, a GPU quantizes the inputs of a product too, each row by its own largest number. LLM.int8() (Dettmers et al.
    2022, https://arxiv.org/abs/2208.07339) excepts columns in which any row exceeds a threshold: a trial's rows would then be computed
    by what its neighbours in the pack hold. So the threshold is 0, that is, no column is excepted. On a CPU bitsandbytes quantizes no
    inputs, and the threshold has no effect.
    """
    settings: dict[str, Any] = transformers_settings(quant.name, double_quant=quant.double_quant)
    if not settings:
        return None
    if KINDS[quant.name].blocks:
        settings["bnb_4bit_compute_dtype"] = compute
    return BitsAndBytesConfig(**settings)


def storage_bytes(model: nn.Module) -> int:
    """Bytes of the model's parameters, buffers and quantization constants; shared tensors count once."""
    seen: dict[int, int] = {}

    def count(tensor: Any) -> None:
        if isinstance(tensor, torch.Tensor):
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()

    for tensor in (*model.parameters(), *model.buffers()):
        count(tensor)
        state = getattr(tensor, "quant_state", None)
        for part in (state, getattr(state, "state2", None)):
            for name in ("absmax", "code", "offset"):
                count(getattr(part, name, None))
        count(getattr(tensor, "SCB", None))
    return sum(seen.values())


def weights_hash(model: nn.Module) -> str:
    """sha256 of all parameters' stored bytes, in hex; training must not change it for a frozen base."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters(), key=lambda item: item[0]):
        digest.update(name.replace(".base_layer", "").encode())
        digest.update(parameter.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def quantized_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of each 4-bit and 8-bit linear module."""
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit | bnb.nn.Linear8bitLt):
            yield name, module


def plain_weight(module: Any) -> torch.Tensor:
    """A linear module's weight as its products use it, dequantized, in fp32, shape (out_features, in_features)."""
    weight = module.weight.data
    if isinstance(module, bnb.nn.Linear4bit):
        return bnb.functional.dequantize_4bit(weight, module.weight.quant_state).float()
    if isinstance(module, bnb.nn.Linear8bitLt):
        constants = module.weight.SCB if module.state.SCB is None else module.state.SCB  # they move at the first pass
        return bnb.functional.int8_vectorwise_dequant(weight, constants.to(weight.device)).float()
    return weight.float().t() if type(module).__name__ == "Conv1D" else weight.float()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context for evaluation: dropout and gradients are off, but quantized modules stay in training mode.

    On CPUs with AVX512-BF16, a `Linear4bit` that runs once in evaluation mode repacks its weights for inference. From
    then on gradients no longer reach the adapters, without an error. A quantized linear module computes the same in
    both modes, so it stays in training mode; on exit, every module is checked for repacking.

    Raises:
        TrialFailed: a module was repacked.
    """
    was_training = model.training
    model.eval()
    for _, module in quantized_modules(model):
        module.training = True
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
    check_trainable_format(model)


def check_trainable_format(model: nn.Module) -> None:
    """Checks that no 4-bit module is in the inference-only format, in which gradients are lost silently.

    Raises:
        TrialFailed: a module is in that format.
    """
    for name, module in quantized_modules(model):
        if getattr(getattr(module.weight, "quant_state", None), "packing_format_for_cpu", False):
            raise TrialFailed(
                f"the 4-bit weights of {name} were repacked for inference; training on them would lose all gradients"
            )
