"""`device`: what the machine has, what the environment leaves visible, and what each worker sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.config import gpus
from sweep.config.devices import CHOICES, CPU, CUDA, KINDS, MPS, ROCM, XPU, DeviceKind, device_problems, devices_for
from sweep.config.gpus import Gpu, amd_gpus, build_named, chosen, nvidia_gpus, visible
from sweep.config.load import plan_of_record
from sweep.errors import ConfigurationError
from sweep.store.identity import study_identity, trial_identity
from tests.config.conftest import hosts

FOUR = "".join(f"A100, 81920, 80000, 8.0, GPU-{word}\n" for word in ("aa01", "aa02", "bb03", "cc04"))
A100_AND_T4 = "A100, 81920, 80000, 8.0, GPU-a\nTesla T4, 15360, 15000, 7.5, GPU-b\n"
DOCUMENT = Path(__file__).parents[2] / "docs" / "studies.md"
MI200 = Gpu("AMD gfx90a", 1, 1, (9, 0, 10), "GPU-01", amd=True)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (None, ["0", "1", "2", "3"]),
        ("", []),
        ("-1", []),
        ("2", ["2"]),
        (" 3, 1", ["3", "1"]),
        ("0,9,1", ["0"]),
        ("0,-1,1", ["0"]),
        ("1,1", []),
        ("1gpu2,2ampere", ["1gpu2", "2ampere"]),
        ("GPU-bb,GPU-cc04", ["GPU-bb", "GPU-cc04"]),
        ("GPU-aa", []),
        ("GPU-zz,GPU-cc", []),
        ("GPU-bb,GPU-bb03", []),
        ("MIG-1,MIG-2", ["MIG-1", "MIG-2"]),
        ("MIG-1,MIG-1", []),
        ("NoDevFiles", []),
    ],
)
def test_what_a_variable_leaves_visible(words: str | None, names: list[str]) -> None:
    listed = list(gpus.gpus_listed(FOUR))
    assert [name for name, _ in chosen(words, listed)] == names
    assert chosen(words, []) == []


def test_a_uuid_is_taken_at_its_word_where_no_driver_lists_any() -> None:
    unknown = [Gpu("an NVIDIA GPU", 0, 0, None)] * 2
    assert [name for name, _ in chosen("GPU-aa,GPU-bb", unknown)] == ["GPU-aa", "GPU-bb"]


def test_amd_s_variables_hide_one_after_the_other() -> None:
    listed = [replace(MI200, uuid=f"GPU-{number}") for number in range(4)]

    def seen(**environment: str) -> list[tuple[str, str]]:
        return [(name, gpu.uuid) for name, gpu in visible(listed, environment)]

    assert seen(CUDA_VISIBLE_DEVICES="3") == [("3", "GPU-3")]
    assert seen(HIP_VISIBLE_DEVICES="2", CUDA_VISIBLE_DEVICES="3") == [("2", "GPU-2")]
    assert seen(ROCR_VISIBLE_DEVICES="2,3") == [("0", "GPU-2"), ("1", "GPU-3")]
    assert seen(ROCR_VISIBLE_DEVICES="2,3", HIP_VISIBLE_DEVICES="1") == [("1", "GPU-3")]
    assert seen(HIP_VISIBLE_DEVICES="") == []


def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, FOUR, CUDA_VISIBLE_DEVICES="GPU-bb,GPU-cc")
    found = devices_for("auto")
    assert (found.kind, found.count, found.workers_on_each(5)) == (CUDA, 2, 3)
    assert [found.environment(place) for place in range(3)] == [
        {"CUDA_VISIBLE_DEVICES": name} for name in ("GPU-bb", "GPU-cc", "GPU-bb")
    ]


def test_the_smallest_gpu_is_the_first_worker_s_which_measures_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, A100_AND_T4)
    assert devices_for("auto").names == ("GPU-b", "GPU-a")
    hosts(monkeypatch, A100_AND_T4, CUDA_VISIBLE_DEVICES="0,1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert set(devices_for("auto").names) == {"GPU-b", "GPU-a"}
    hosts(monkeypatch, f"{A100_AND_T4}A100, 81920, 80000, 8.0, GPU-c\n", CUDA_VISIBLE_DEVICES="0,1")
    assert devices_for("auto").names == ("0", "1")  # which of the three they are is CUDA's to say


def test_rocm_has_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, (MI200, replace(MI200, uuid="GPU-02")), "rocm")
    found = devices_for("cuda")
    assert (found.kind, found.multiplies_bfloat16) == (ROCM, True)
    assert found.environment(1) == {"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}


def test_workers_on_the_processor_see_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, FOUR)
    assert (devices_for("cpu").kind, devices_for("cpu").count) == (CPU, 1)
    assert devices_for("cpu").environment(0)["CUDA_VISIBLE_DEVICES"] == "-1"
    hosts(monkeypatch, "")
    assert devices_for("cpu").environment(0) == devices_for("auto").environment(0) == {}


@pytest.mark.parametrize(
    ("environment", "fast"),
    [
        ({}, False),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a"}, True),
        ({"CUDA_VISIBLE_DEVICES": "GPU-b"}, False),
        ({"CUDA_VISIBLE_DEVICES": "0"}, False),  # CUDA's 0 may be the T4
        ({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, True),
    ],
)
def test_bfloat16_where_every_gpu_in_use_has_it(
    environment: dict[str, str], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts(monkeypatch, A100_AND_T4, **environment)
    assert devices_for("auto").multiplies_bfloat16 is fast


@pytest.mark.parametrize(
    ("version", "fast"),
    [((9, 0, 6), False), ((9, 0, 8), True), ((9, 0, 10), True), ((9, 0, 12), False), ((9, 4, 2), True), ((10, 3, 0), False),
     ((11, 0, 0), True), ((12, 0, 1), True)],
)  # fmt: skip
def test_amd_s_bfloat16(version: tuple[int, ...], fast: bool) -> None:
    assert replace(MI200, capability=version).multiplies_bfloat16 is fast


def test_amd_s_gpus_as_linux_lists_them(tmp_path: Path) -> None:
    nodes = {
        "0": {"simd_count": 0, "cpu_cores_count": 64},
        "1": {"simd_count": 440, "gfx_target_version": 90010, "drm_render_minor": 128, "unique_id": 255},
        "2": {"simd_count": 440, "gfx_target_version": 110001, "drm_render_minor": 129},  # not in this container
        "10": {"simd_count": 440, "gfx_target_version": 110001, "drm_render_minor": 130},
    }
    for name, fields in nodes.items():
        bank = tmp_path / name / "mem_banks" / "0"
        bank.mkdir(parents=True)
        (tmp_path / name / "properties").write_text("".join(f"{key} {value}\n" for key, value in fields.items()))
        (bank / "properties").write_text("heap_type 1\nsize_in_bytes 1024\n")
    for minor in (128, 130):
        (tmp_path / f"renderD{minor}").touch()
    first, second = amd_gpus(tmp_path, str(tmp_path / "renderD{}"))
    assert first == Gpu("AMD gfx90a", 1024, 1024, (9, 0, 10), "GPU-00000000000000ff", amd=True)
    assert (second.name, second.uuid) == ("AMD gfx1101", "")
    assert amd_gpus(tmp_path / "missing") == []


def test_device_files_count_where_nvidia_smi_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpus, "_DEVICE_FILES", tmp_path)
    assert nvidia_gpus() == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert [gpu.capability for gpu in nvidia_gpus()] == [None, None]


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("cuda: Optional[str] = '12.6'\nhip: Optional[str] = None\nxpu: Optional[str] = None", "cuda"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3.4'", "rocm"),
        ("cuda = None\nhip = None\nxpu = '20250101'", "xpu"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = None", "cpu"),
        ("cuda = '11.8'", "cuda"),
    ],
)
def test_the_build_of_torch(text: str, build: str) -> None:
    assert build_named(text) == build


def test_the_build_is_the_installed_one() -> None:
    import torch

    expected = "rocm" if torch.version.hip else "cuda" if torch.version.cuda else "xpu" if torch.version.xpu else "cpu"
    assert gpus.torch_build() == expected


def test_the_table() -> None:
    assert {kind.torch_type for kind in KINDS} == set(CHOICES) - {"auto"}
    assert [kind for kind in KINDS if not kind.is_gpu] == [CPU]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_table_of_the_documentation(kind: DeviceKind) -> None:
    (row,) = (line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{kind.torch_type}` |"))
    _, _, _, quantizations, compute, slots, *_ = (cell.strip() for cell in row.split("|"))
    assert quantizations == ", ".join(f"`{name}`" for name in kind.quantizations)
    assert compute.startswith(", ".join(f"`{name}`" for name in kind.compute))
    assert slots == str(kind.slots)


@pytest.mark.parametrize(
    ("build", "words", "problem"),
    [
        ("cpu", ["device=cuda"], "device=cuda: the installed PyTorch is not built for NVIDIA or AMD GPUs.*device=cpu"),
        ("cuda", ["device=xpu"], "device=xpu: the installed PyTorch is not built for Intel GPUs"),
        ("cuda", ["device=mps"], "device=mps: this is not a Mac with Apple silicon.*device=cpu"),
        ("cuda", ["device=gpu"], "device=gpu: unknown.*known: auto, cpu, cuda, mps, xpu"),
    ],
)
def test_a_device_that_the_machine_has_not(
    build: str, words: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts(monkeypatch, FOUR, build)
    with pytest.raises(ConfigurationError, match=problem):
        composed_plan(["model=tiny", *words])


def test_what_a_kind_of_device_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, "", "cpu")
    monkeypatch.setattr("sweep.config.devices._missing", lambda requested: None)
    four_bit, bfloat16 = device_problems("mps", "nf4", "bfloat16")
    assert four_bit.startswith("quant=nf4: not on an Apple GPU (bitsandbytes fetches")
    assert four_bit.endswith("write quant=none, or device=cpu")
    assert "write quant.compute=float32" in bfloat16
    assert not list(device_problems("mps", "none", "auto"))
    assert [devices_for(name).kind for name in ("mps", "xpu")] == [MPS, XPU]
    assert devices_for("xpu").environment(0) == {}


def test_the_device_is_no_part_of_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, FOUR)
    words = ["model=tiny", "quant.compute=float32"]
    on_gpu, on_cpu = composed_plan(words), composed_plan([*words, "device=cpu"])
    assert (on_gpu.setup.device, on_cpu.setup.device) == ("cuda", "cpu")
    assert study_identity(on_gpu, "data") == study_identity(on_cpu, "data")
    of_both = {trial_identity(plan.setup, "base", "data", plan.arm, plan.training, 0) for plan in (on_gpu, on_cpu)}
    assert len(of_both) == 1


def test_a_record_of_another_machine_is_read_without_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts(monkeypatch, FOUR)
    recorded = composed_plan(["model=tiny", "device=cuda"]).config
    assert yaml.safe_load(recorded)["device"] == "cuda"
    hosts(monkeypatch, "", "cpu")
    assert plan_of_record(recorded).workers >= 1
    before_the_key = yaml.safe_load(recorded)
    del before_the_key["device"]
    assert plan_of_record(yaml.safe_dump(before_the_key)).setup.device == "cpu"
