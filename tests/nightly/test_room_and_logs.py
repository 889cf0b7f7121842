"""The check of memory, disk and GPUs, and the output of nights, which does not grow without end."""

from __future__ import annotations

from pathlib import Path

from sweep.config.gpus import Gpu, gpus_listed
from sweep.nightly.logs import KEPT_NIGHTS, MOST_BYTES, dates, last_words, rotate, shorten
from sweep.nightly.room import LEAST_DISK, LEAST_MEMORY, Room, lacks, lacks_gpu, room_here
from sweep.store.paths import Paths

GB = 10**9


def test_what_is_lacking_is_named() -> None:
    assert list(lacks(Room(4 * GB, 4 * GB), 2 * GB, 2 * GB)) == []
    memory, disk = lacks(Room(GB, GB), 2 * GB, 3 * GB)
    assert memory.startswith("1.0 GB of memory are free, and the study needs about 2.0 GB")
    assert disk.startswith("1.0 GB are free on the disk of mlruns, and the study needs about 3.0 GB")
    assert len(list(lacks(Room(LEAST_MEMORY - 1, LEAST_DISK - 1), None, None))) == 2
    assert list(lacks(Room(LEAST_MEMORY, LEAST_DISK), None, None)) == []


LISTED = """NVIDIA H100 80GB HBM3, 81559, 80994, 9.0, GPU-11111111-aaaa-bbbb-cccc-000000000001
NVIDIA H100 80GB HBM3, 81559, 1024, 9.0, GPU-22222222-aaaa-bbbb-cccc-000000000002
"""
"""What `nvidia-smi` prints for one that is free and one that is in use."""


def test_what_a_gpu_lacks_is_named() -> None:
    free, full = gpus_listed(LISTED)
    assert list(lacks_gpu(Room(GB, GB, (free,)), 40 * GB, {})) == []
    (lack,) = lacks_gpu(Room(GB, GB, (full,)), 40 * GB, {})
    assert lack.startswith(
        "1.1 GB of 85.5 GB are free on the GPU (NVIDIA H100 80GB HBM3), and the study needs about 40.0 GB: end"
    )
    (lack,) = lacks_gpu(Room(GB, GB, (free, full)), 40 * GB, {})
    assert lack.startswith("1 of 2 GPUs are short of memory: 1.1 GB of")
    # the study sees the first alone
    assert list(lacks_gpu(Room(GB, GB, (free, full)), 40 * GB, {"CUDA_VISIBLE_DEVICES": "0"})) == []
    # the need or the memory is not known
    assert list(lacks_gpu(Room(GB, GB, (full,)), 0, {})) == []
    assert list(lacks_gpu(Room(GB, GB, (Gpu("a GPU", 0, 0, None),)), 40 * GB, {})) == []


def test_a_gpu_that_is_gone_or_hidden_is_named() -> None:
    (lack,) = lacks_gpu(Room(GB, GB), 40 * GB, {})
    assert lack.startswith(
        "no GPU can be used, and the study trains on one (its driver lists none: see what `nvidia-smi`"
    )
    (lack,) = lacks_gpu(Room(GB, GB, tuple(gpus_listed(LISTED))), 40 * GB, {"CUDA_VISIBLE_DEVICES": ""})
    assert "2 of this machine are hidden by an environment variable" in lack


def test_this_machine_has_room(tmp_path: Path) -> None:
    room = room_here(tmp_path)
    assert room.memory > 0
    assert room.disk > 0


def test_the_last_nights_are_kept(tmp_path: Path) -> None:
    paths = Paths.here(tmp_path)
    folder = paths.night_log("a", "2026-01-01").parent
    folder.mkdir(parents=True)
    nights = [f"2026-{1 + day // 28:02}-{1 + day % 28:02}" for day in range(KEPT_NIGHTS + 5)]
    for night in nights:
        (folder / f"{night}.log").write_text("x")
    (folder / "mine.log").write_text("x")
    rotate(paths, "a")
    assert dates(paths, "a") == nights[5:]
    assert (folder / "mine.log").exists()


def test_long_output_loses_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "night.log"
    file.write_text("".join(f"line {number:06}\n" for number in range(1000)))
    shorten(file, most=6000)
    lines = file.read_text().splitlines()
    assert lines[0] == "[the beginning was cut off]"
    assert lines[1].startswith("line 00")
    assert lines[-1] == "line 000999"
    assert file.stat().st_size <= 3100
    shorten(file, most=6000)
    assert file.read_text().splitlines() == lines
    assert MOST_BYTES > 6000
    assert last_words(file, most=20).endswith("line 000999")
    assert last_words(tmp_path / "none.log") == ""
