"""The GPUs of this machine as their drivers describe them, without loading torch and without a context on any of them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NATIVE_BFLOAT16 = (8, 0)
"""The first compute capability that multiplies bf16; torch emulates it on older GPUs (V100, T4), slower than fp32."""

NATIVE_BFLOAT16_AMD = ((9, 0, 8), (9, 0, 10))
"""gfx908 and gfx90a, the chips of version 9.0 with matrix instructions for bf16 (MI100, MI200). All from 9.4 (MI300) in the 9 series and
from 11.0 (RDNA 3) have them, 10.x has none: https://rocm.docs.amd.com/en/latest/reference/gpu-arch-specs.html"""

_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_DEVICE_FILES = Path("/dev")
_RENDER_NODE = "/dev/dri/renderD{}"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes:
        total: bytes of memory; 0 if unknown.
        free: bytes not in use; `total` if unknown.
        capability: NVIDIA: compute capability, for example (9, 0); AMD: version of the instruction set, (9, 0, 10) for gfx90a; None if
            unknown.
        uuid: as the variables that hide GPUs name it, such as `GPU-8932f937-...`; empty if unknown.
    """

    name: str
    total: int
    free: int
    capability: tuple[int, ...] | None
    uuid: str = ""
    amd: bool = False

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether it has hardware for bf16; False if its capability is unknown."""
        if self.capability is None:
            return False
        if not self.amd:
            return self.capability >= NATIVE_BFLOAT16
        return self.capability in NATIVE_BFLOAT16_AMD or (9, 4) <= self.capability < (10,) or self.capability >= (11,)


def gpus_listed(text: str) -> Iterator[Gpu]:
    """The GPUs in `nvidia-smi --query-gpu=name,memory.total,memory.free,compute_cap,uuid --format=csv,noheader,nounits`."""
    for line in text.splitlines():
        name, _, numbers = line.partition(", ")
        try:
            total, free, capability, *uuid = (number.strip() for number in numbers.split(","))
            major, _, minor = capability.partition(".")
            known = (int(major), int(minor)) if minor.isdecimal() else None
            yield Gpu(name.strip(), int(total) * 2**20, int(free) * 2**20, known, uuid[0] if uuid else "")
        except ValueError:
            continue


def nvidia_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine, from `nvidia-smi`; in a container without it, the number of device files and nothing else."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [Gpu("an NVIDIA GPU (no nvidia-smi)", 0, 0, None) for _ in _DEVICE_FILES.glob("nvidia[0-9]*")]
    columns = "name,memory.total,memory.free,compute_cap,uuid"
    try:
        answer = subprocess.run(  # noqa: S603 (fixed words)
            [tool, f"--query-gpu={columns}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(gpus_listed(answer.stdout)) if answer.returncode == 0 else []


def amd_gpus(nodes: Path = _KFD, render_node: str = _RENDER_NODE) -> list[Gpu]:
    """The AMD GPUs that this process may use, from the topology that Linux's amdgpu driver publishes.

    Args:
        nodes: a folder for each processor and GPU.
        render_node: the device file of a GPU, by its number; a container has only those that it was given.
    """
    found = []
    for node in sorted((path for path in nodes.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name)):
        fields = _numbers(node / "properties")
        if not fields.get("simd_count") or not Path(render_node.format(fields.get("drm_render_minor", 0))).exists():
            continue
        version = fields.get("gfx_target_version", 0)
        major, minor, step = version // 10_000, version // 100 % 100, version % 100
        total = sum(_numbers(bank).get("size_in_bytes", 0) for bank in node.glob("mem_banks/*/properties"))
        uuid = f"GPU-{fields['unique_id']:016x}" if fields.get("unique_id") else ""
        found.append(Gpu(f"AMD gfx{major}{minor:x}{step:x}", total, total, (major, minor, step), uuid, amd=True))
    return found


@cache
def torch_build() -> str:
    """What the installed torch computes on besides the CPU: `cuda`, `rocm`, `xpu`, or `cpu` for nothing else. Does not import it."""
    with suppress(OSError, ImportError, ValueError):
        spec = importlib.util.find_spec("torch")
        if spec is not None and spec.origin is not None:
            return build_named(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    return "cpu"


def build_named(version: str) -> str:
    """The build that the contents of `torch/version.py` name, see `torch_build`."""
    for build, name in (("rocm", "hip"), ("cuda", "cuda"), ("xpu", "xpu")):
        if re.search(rf"^{name}(?:\s*:[^=]*)?\s*=\s*['\"]", version, re.MULTILINE):
            return build
    return "cpu"


def visible(listed: Sequence[Gpu], environ: Mapping[str, str]) -> list[tuple[str, Gpu]]:
    """The GPUs that the environment leaves visible, each with the word that names it in the variable that hides the others.

    `CUDA_VISIBLE_DEVICES` hides NVIDIA's. For AMD's, `ROCR_VISIBLE_DEVICES` hides first and numbers the rest anew, from which
    `HIP_VISIBLE_DEVICES`, or `CUDA_VISIBLE_DEVICES` without it, chooses.

    Args:
        listed: all GPUs of the machine, of one maker.
    """
    left = [(str(number), gpu) for number, gpu in enumerate(listed)]
    if not any(gpu.amd for gpu in listed):
        return chosen(environ.get("CUDA_VISIBLE_DEVICES"), listed)
    if "ROCR_VISIBLE_DEVICES" in environ:
        left = [(str(number), gpu) for number, (_, gpu) in enumerate(chosen(environ["ROCR_VISIBLE_DEVICES"], listed))]
    words = environ.get("HIP_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    return chosen(words, [gpu for _, gpu in left])


def chosen(words: str | None, listed: Sequence[Gpu]) -> list[tuple[str, Gpu]]:
    """The GPUs that a variable such as `CUDA_VISIBLE_DEVICES` names; all if it is not set, none if it is empty.

    CUDA's rules (CUDA C++ programming guide, "CUDA environment variables"): numbers, or beginnings of UUIDs that fit one GPU, separated by
    commas; the first that names none ends the list; one that is repeated empties it. The instances of a divided GPU (`MIG-...`) are
    not looked up.
    """
    if words is None:
        return [(str(number), gpu) for number, gpu in enumerate(listed)]
    found: list[tuple[str, Gpu]] = []
    for word in (each.strip() for each in words.split(",")):
        gpu = _named(word, listed)
        if gpu is None:
            break
        if any(word == other or (gpu is known and not word.startswith("MIG-")) for other, known in found):
            return []
        found.append((word, gpu))
    return found


def _named(word: str, listed: Sequence[Gpu]) -> Gpu | None:
    if not listed:
        return None
    if word.startswith("MIG-"):
        return listed[0]
    if word.startswith("GPU-"):
        fitting = [gpu for gpu in listed if gpu.uuid.lower().startswith(word.lower())]
        if not any(gpu.uuid for gpu in listed):  # nobody told their names
            return Gpu("a GPU", 0, 0, None, word, listed[0].amd)
        return fitting[0] if len(fitting) == 1 else None
    digits = re.match(r"\d+", word)
    number = int(digits[0]) if digits else -1
    return listed[number] if 0 <= number < len(listed) else None


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of a file of the driver: a name and a number on each line."""
    with suppress(OSError):
        pairs = (line.split() for line in file.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
    return {}
