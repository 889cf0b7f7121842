"""Waiting for a lock is announced and limited; what a killed process left is recognized."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from filelock import FileLock

from sweep.errors import EnvironmentLacks, StudyBusy
from sweep.store import locks
from sweep.store.locks import (
    Claims,
    held,
    is_gone,
    is_held,
    is_here,
    is_left,
    running_studies,
    study_lock,
    this_process,
)
from sweep.store.paths import Paths


@dataclass
class TickingClock:
    """Shows two seconds more each time it is read, so that no pause of this process brings the end of a wait forward.

    Attributes:
        seconds: what it showed last.
    """

    seconds: float = 0.0

    def monotonic(self) -> float:
        self.seconds += 2.0
        return self.seconds


@contextmanager
def ticking() -> Iterator[TickingClock]:
    """Waits for locks go by such a clock within the block."""
    clock = TickingClock()
    with patch.object(locks, "time", clock), patch.object(locks, "_POLL_SECONDS", 0.01):
        yield clock


def test_a_free_lock_is_taken_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(tmp_path / "lock", "another process works", seconds=5):
        assert not FileLock(tmp_path / "lock").is_locked
    assert capsys.readouterr().err == ""


def test_the_wait_for_a_held_lock_is_announced_and_limited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        ticking() as clock,
        FileLock(tmp_path / "lock"),
        pytest.raises(EnvironmentLacks, match=r"another process works and has held .*lock for 60 s; .*fuser"),
        held(tmp_path / "lock", "another process works", seconds=60),
    ):
        pass
    assert 60 <= clock.seconds < 70
    assert capsys.readouterr().err.count("waiting for") == 1


def test_a_lock_that_is_released_meanwhile_is_taken(tmp_path: Path) -> None:
    other = FileLock(tmp_path / "lock", thread_local=False)
    other.acquire()
    threading.Timer(0.3, other.release).start()
    with held(tmp_path / "lock", "another process works", seconds=30):
        assert not other.is_locked


def test_a_claim_is_one_process_s_until_it_is_released(tmp_path: Path) -> None:
    file = tmp_path / "locks" / "work.lock"
    one, other = Claims(), Claims()
    assert one.claim(file)
    assert one.claim(file)
    assert not other.claim(file)
    other.release(file)
    assert not other.claim(file), "only its owner releases it"
    one.release(file)
    assert not file.exists()
    assert other.claim(file)
    assert not one.claim(file)


def test_the_claim_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    file = tmp_path / "work.lock"
    claimed = "import os, sys; from pathlib import Path; from sweep.store.locks import Claims; claims = Claims()"
    words = f"{claimed}; print(claims.claim(Path(sys.argv[1])), flush=True); os._exit(9)"
    died = subprocess.run([sys.executable, "-c", words, str(file)], capture_output=True, text=True, check=False)
    assert (died.returncode, died.stdout) == (9, "True\n"), died.stderr
    assert file.exists()
    assert Claims().claim(file)


def test_what_cannot_be_locked_is_nobody_else_s(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Claims().claim(tmp_path / "file" / "work.lock")


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_this_process_is_here_and_alive() -> None:
    assert this_process() == f"{socket.gethostname()}:{os.getpid()}"
    assert is_here(this_process())
    assert not is_gone(this_process())


def test_an_ended_process_is_gone() -> None:
    assert is_gone(f"{socket.gethostname()}:{ended_process()}")


def test_work_of_an_ended_process_or_an_earlier_one_of_this_number_is_left() -> None:
    assert is_left(f"{socket.gethostname()}:{ended_process()}", by=this_process())
    assert is_left(this_process(), by=this_process())
    assert not is_left(f"{socket.gethostname()}:{os.getppid()}", by=this_process())
    assert not is_left("elsewhere:1", by=this_process())


@pytest.mark.parametrize("owner", ["", ":", "elsewhere:1", "nonsense", f"{socket.gethostname()}:x"])
def test_processes_elsewhere_count_as_alive(owner: str) -> None:
    assert not is_here(owner)
    assert not is_gone(owner)


def test_a_sweep_that_meets_a_look_at_its_lock_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOOK_SECONDS", 60.0, raising=False)
    paths = Paths.here(tmp_path)
    paths.lock("made").parent.mkdir(parents=True)
    look = FileLock(paths.lock("made"), thread_local=False)
    look.acquire()
    end_of_look = threading.Timer(0.2, look.release)
    end_of_look.start()
    with study_lock(paths, "made"):
        assert running_studies(paths) == ["made"]
    end_of_look.join()


LOOKS = """
import sys
from pathlib import Path
from sweep.store.locks import running_studies
from sweep.store.paths import Paths

print("looks", flush=True)
seen = [running_studies(Paths.here(Path(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print(sum(map(bool, seen)))
"""
"""Looks which studies are running, and prints how often some were."""


@contextmanager
def looking(folder: Path, times: int) -> Iterator[subprocess.Popen[str]]:
    """A process that does nothing else, and has begun to."""
    words = [sys.executable, "-c", LOOKS, str(folder), str(times)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looks\n"
        yield process
        process.kill()


def test_looks_at_once_see_no_sweep_in_each_other(tmp_path: Path) -> None:
    paths = Paths.here(tmp_path)
    with study_lock(paths, "made"):
        pass
    with looking(tmp_path, 5000) as other:
        assert not any(running_studies(paths) for _ in range(5000))
        assert other.communicate()[0] == "0\n"


def test_sweeps_begin_while_other_processes_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOOK_SECONDS", 60.0)  # these look without a pause
    paths = Paths.here(tmp_path)
    with looking(tmp_path, 10**9), looking(tmp_path, 10**9):
        for _ in range(30):
            with study_lock(paths, "made"):
                assert running_studies(paths) == ["made"]


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "made.lock")
    assert not list(tmp_path.iterdir())


def test_one_sweep_of_a_study_runs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOOK_SECONDS", 0.1, raising=False)
    paths = Paths.here(tmp_path)
    with (
        study_lock(paths, "made"),
        pytest.raises(StudyBusy, match=rf"already running here \(process {os.getpid()}\)"),
        study_lock(paths, "made"),
    ):
        pass
    assert not running_studies(paths)
