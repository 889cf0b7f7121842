"""`quant.compute`: the type in which products with the frozen base are computed, resolved without loading torch.

It is part of identities, so it is resolved when a plan is made, by what the machine is and never by a measurement.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path

from sweep.config.devices import AUTO, devices_for
from sweep.records import AUTO_COMPUTE, Quantization
from sweep.records.quants import KINDS

BFLOAT16, FLOAT32 = "bfloat16", "float32"

_CPUINFO = Path("/proc/cpuinfo")

_CAP = "ONEDNN_MAX_CPU_ISA"
"""https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html"""


def with_compute_type(
    quant: Quantization, device: str = AUTO, *, needs_float32: bool = False, beside: Collection[str] = ()
) -> Quantization:
    """The quantization with `compute=auto` resolved for this machine.

    GPUs that all multiply bf16 compute in bf16, others in fp32: torch would emulate bf16 there, and fp16 needs a loss scale, which the
    slots of a pass would have to share. Which Intel GPUs multiply bf16 is not known before torch is loaded. A processor computes in
    bf16 where that is faster than fp32 (`multiplies_bfloat16_fast`), but not with int8, whose products are of whole numbers, nor where
    oneDNN's `ONEDNN_MAX_CPU_ISA` keeps it from bf16 instructions.

    Args:
        device: the value of `device`.
        needs_float32: whether the method needs fp32.
        beside: other quantizations in the study, whose products are computed in the same type.
    """
    if quant.compute != AUTO_COMPUTE:
        return quant
    if needs_float32:
        return replace(quant, compute=FLOAT32)
    devices = devices_for(device)
    if devices.kind.is_gpu:
        return replace(quant, compute=BFLOAT16 if devices.multiplies_bfloat16 else FLOAT32)
    whole_numbers = any(KINDS[name].whole_numbers for name in (quant.name, *beside))
    fast = not whole_numbers and not _is_capped() and multiplies_bfloat16_fast(_cpuinfo())
    return replace(quant, compute=BFLOAT16 if fast else FLOAT32)


def with_former_type(quant: Quantization, device: str = AUTO) -> Quantization:
    """The quantization of a record that is older than `quant.compute`, whose identities name no type: fp32 on a processor, and on a
    GPU its own type, which stays `auto`.
    """
    return replace(quant, compute=AUTO_COMPUTE if devices_for(device).kind.is_gpu else FLOAT32)


def multiplies_bfloat16_fast(cpuinfo: str) -> bool:
    """Whether a processor multiplies bf16 faster than fp32 (docs/engine.md has the figures).

    True with AMX-BF16, and for AMD's AVX512-BF16 (Zen 4 and later). Intel's AVX512-BF16 without AMX has half the speed of its fp32.

    Args:
        cpuinfo: the contents of Linux's `/proc/cpuinfo`; empty elsewhere.
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    if "amx_bf16" in flags and "amx_tile" in flags:
        return True
    return fields.get("vendor_id") == "AuthenticAMD" and "avx512_bf16" in flags


def _is_capped() -> bool:
    cap = os.environ.get(_CAP, "").upper()
    return (
        bool(cap)
        and cap not in ("ALL", "DEFAULT")
        and not any(part in cap for part in ("BF16", "FP16", "AMX", "AVX10"))
    )


@cache
def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace") if platform.system() == "Linux" else ""
    except OSError:
        return ""
