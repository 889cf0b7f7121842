"""How a worker's process ended, from its exit code and its last words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sweep.workers.death import Death, death_of, log_size, oom_kills

OOM = "Error out of memory at line 74 in file /src/csrc/ops.cu"


@pytest.mark.parametrize(
    ("code", "kills", "said", "expected"),
    [
        (3, 0, "", Death("ended with exit code 3")),
        (1, 0, "Traceback (most recent call last):", Death("ended with exit code 1")),
        (None, 0, "", Death("ended with exit code None")),
        (-signal.SIGSEGV, 0, OOM, Death("was killed by signal 11 (SIGSEGV)", killed=True)),
        (-signal.SIGKILL, 0, "", Death("was killed by signal 9 (SIGKILL)", killed=True)),
        (-signal.SIGKILL, 1, "", Death("was killed by the system", out_of_memory=True, killed=True)),
        (1, 0, OOM, Death("was ended by bitsandbytes (CUDA error: out of memory)", out_of_memory=True)),
        (
            1,
            0,
            "Error device-side assert triggered at line 9 in file common.cu",
            Death("was ended by bitsandbytes (CUDA error: device-side assert triggered)", device_failed=True),
        ),
        (
            1,
            0,
            "Error invalid argument at line 9 in file x",
            Death("was ended by bitsandbytes (CUDA error: invalid argument)"),
        ),
        (2, 0, OOM, Death("ended with exit code 2")),
    ],
)
def test_every_death_is_named(code: int | None, kills: int, said: str, expected: Death, tmp_path: Path) -> None:
    log = tmp_path / "made.log"
    log.write_text(f"warning: one\n{said}\n")
    assert death_of(code, kills, log, 0) == expected


def test_what_an_earlier_worker_said_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "made.log"
    assert death_of(1, 0, log, log_size(log)) == Death("ended with exit code 1")
    log.write_text(f"{OOM}\n")
    assert death_of(1, 0, log, log_size(log)) == Death("ended with exit code 1")
    with log.open("a") as stream:
        stream.write("line\n" * 100_000 + f"{OOM}\n")
    assert death_of(1, 0, log, len(OOM) + 1).out_of_memory


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        # version 2: the group's own events; those of the groups below it are of other processes
        ("0::/job\n", {"job/memory.events.local": "oom 9\noom_kill 2\n", "job/memory.events": "oom_kill 5\n"}, 2),
        ("0::/job\n", {"job/memory.events": "oom_kill 5\noom_group_kill 1\n"}, 5),
        ("0::/job\n", {"memory.events": "oom_kill 5\n", "job/pids.max": "max\n"}, 0),
        # in a container, the path is the host's or the root
        ("0::/\n", {"memory.events": "oom_kill 5\n"}, 5),
        ("4:memory:/docker/a\n0::/\n", {"memory/memory.oom_control": "under_oom 0\noom_kill 3\n"}, 3),
        # version 1, also where controllers share a folder
        ("4:cpu,memory:/job\n0::/\n", {"memory/job/memory.oom_control": "under_oom 0\noom_kill 3\n"}, 3),
        ("", {}, 0),
    ],
)
def test_kills_in_the_control_group_of_this_process_are_counted(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    made = {"proc/self/cgroup": groups, "proc/vmstat": "oom_kill 77\n"}  # the kills of the whole host
    for name, text in (made | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert oom_kills(tmp_path) == expected


def test_a_system_without_control_groups_counts_no_kills(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == 0
