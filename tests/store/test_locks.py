"""A lock is waited for with a word, within a limit, and not beyond a stop."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sweep.errors import EnvironmentLacks
from sweep.store.locks import held


def test_a_free_lock_is_taken_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(tmp_path / "lock", "another process works", seconds=5):
        assert not FileLock(tmp_path / "lock").is_locked
    assert capsys.readouterr().err == ""


def test_a_held_one_is_waited_for_and_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(EnvironmentLacks, match=r"another process works and has held .*lock for 1 s; .*fuser"),
        held(tmp_path / "lock", "another process works", seconds=1.2),
    ):
        pass
    assert 1 < time.monotonic() - began < 20
    assert capsys.readouterr().err.count("waiting for") == 1


def test_one_that_is_freed_meanwhile_is_taken(tmp_path: Path) -> None:
    other = FileLock(tmp_path / "lock", thread_local=False)
    other.acquire()
    threading.Timer(0.3, other.release).start()
    with held(tmp_path / "lock", "another process works", seconds=30):
        assert not other.is_locked
