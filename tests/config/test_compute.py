"""`quant.compute=auto` goes by what the machine is, and is resolved when a plan is made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.config import compute
from sweep.config.compute import multiplies_bfloat16_fast, with_compute_type, with_former_type
from sweep.config.load import plan_of_record, with_compute
from sweep.errors import ConfigurationError
from sweep.records import Quantization
from tests.config.conftest import hosts

_AVX512 = "fpu avx2 avx512f avx512bw avx512vl avx512dq"
ICE_LAKE = f"vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t\t: {_AVX512}\n"
WITHOUT_AMX = f"vendor_id\t: GenuineIntel\nflags\t\t: {_AVX512} avx512_bf16\n"
SAPPHIRE_RAPIDS = f"vendor_id\t: GenuineIntel\nflags\t\t: {_AVX512} avx512_bf16 amx_bf16 amx_tile amx_int8\n"
ZEN_3 = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2\n"
ZEN_4 = f"processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: {_AVX512} avx512_bf16\n\nprocessor\t: 1\nflags\t\t: x\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"
A100, T4, UNKNOWN = "A100, 81920, 80000, 8.0\n", "Tesla T4, 15360, 15000, 7.5\n", "Tesla V100, 16160, 16000, [N/A]\n"


class Machine:
    """Stands in for the machine: its processor, and what `nvidia-smi` lists."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._patch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        self.has(ICE_LAKE)

    def has(self, cpuinfo: str, gpu: str | None = None, build: str = "cuda") -> None:
        """Gives the machine this processor, these GPUs and this build of torch."""
        self._patch.setattr(compute, "_cpuinfo", lambda: cpuinfo)
        hosts(self._patch, gpu or "", build)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        (ICE_LAKE, False),
        (WITHOUT_AMX, False),
        (SAPPHIRE_RAPIDS, True),
        (ZEN_3, False),
        (ZEN_4, True),
        (ARM, False),
        ("", False),
    ],
)
def test_which_processors_multiply_bfloat16_faster(cpuinfo: str, fast: bool, machine: Machine) -> None:
    assert multiplies_bfloat16_fast(cpuinfo) is fast
    machine.has(cpuinfo)
    assert with_compute_type(Quantization()).compute == ("bfloat16" if fast else "float32")
    assert with_compute_type(Quantization("int8")).compute == "float32"


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        ("AVX512_CORE", "float32"),
        ("avx2", "float32"),
        ("AVX512_CORE_BF16", "bfloat16"),
        ("AVX512_CORE_AMX", "bfloat16"),
        ("AVX10_1_512", "bfloat16"),
        ("DEFAULT", "bfloat16"),
        ("", "bfloat16"),
    ],
)
def test_instructions_that_onednn_may_not_use_do_not_count(
    cap: str, expected: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(ZEN_4)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    assert with_compute_type(Quantization()).compute == expected


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [(A100, "bfloat16"), (T4, "float32"), (A100 + T4, "float32"), (UNKNOWN, "float32")],
)
def test_a_gpu_computes_in_bfloat16_only_in_hardware(gpu: str, expected: str, machine: Machine) -> None:
    machine.has(WITHOUT_AMX, gpu)
    assert with_compute_type(Quantization()).compute == expected
    assert with_compute_type(Quantization("int8")).compute == expected


def test_a_gpu_does_not_count_for_a_torch_without_cuda(machine: Machine) -> None:
    machine.has(WITHOUT_AMX, A100, build="cpu")
    assert with_compute_type(Quantization()).compute == "float32"


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_a_chosen_type_stays(chosen: str, machine: Machine) -> None:
    for cpuinfo, gpu in ((WITHOUT_AMX, None), (SAPPHIRE_RAPIDS, None), (ZEN_4, T4), (ICE_LAKE, A100)):
        machine.has(cpuinfo, gpu)
        assert with_compute_type(Quantization(compute=chosen)).compute == chosen


def test_a_plan_and_its_record_have_the_resolved_type(machine: Machine) -> None:
    machine.has(SAPPHIRE_RAPIDS)
    plan = composed_plan(["model=tiny"])
    assert plan.setup.quant.compute == "bfloat16"
    assert yaml.safe_load(plan.config)["quant"]["compute"] == "bfloat16"
    machine.has(WITHOUT_AMX)
    assert plan_of_record(plan.config) == plan
    assert composed_plan(["model=tiny"]).setup.quant.compute == "float32"
    assert composed_plan(["model=tiny", "quant.compute=bfloat16"]).setup.quant == plan.setup.quant


def test_a_record_from_before_the_key_was_computed_in_the_type_of_the_device(machine: Machine) -> None:
    recorded = yaml.safe_load(composed_plan(["model=tiny"]).config)
    del recorded["quant"]["compute"]
    machine.has(SAPPHIRE_RAPIDS)
    assert plan_of_record(yaml.safe_dump(recorded)).setup.quant.compute == "float32"
    machine.has(SAPPHIRE_RAPIDS, A100)
    assert plan_of_record(yaml.safe_dump(recorded)).setup.quant.compute == "auto"
    assert with_former_type(Quantization(compute="bfloat16")).compute == "auto"


def test_a_plan_with_another_type_records_it(machine: Machine) -> None:
    plan = composed_plan(["model=tiny"])
    other = with_compute(plan, replace(plan.setup.quant, compute="bfloat16"))
    assert other == replace(composed_plan(["model=tiny", "quant.compute=bfloat16"]), given=plan.given)
    assert with_compute(plan, plan.setup.quant) is plan


def test_an_unknown_type() -> None:
    with pytest.raises(ConfigurationError, match=r"quant\.compute=bfloat: unknown; did you mean 'bfloat16'"):
        composed_plan(["model=tiny", "quant.compute=bfloat"])
