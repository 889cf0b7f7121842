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


def test_kills_of_the_kernel_are_counted() -> None:
    assert oom_kills() >= 0
