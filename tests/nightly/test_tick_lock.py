"""The lock of a tick, and locks that killed processes left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.errors import StudyBusy
from sweep.nightly.tick_lock import holder, process_start, running_tick, tick_lock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nightly" / "lock"


def rewrite(file: Path, **changes: object) -> None:
    with tick_lock(file):
        contents = json.loads(file.read_text())
    file.write_text(json.dumps({**contents, **changes}))


def test_one_process_holds_it(file: Path) -> None:
    with tick_lock(file):
        found = running_tick(file)
        assert found is not None
        assert found.process == os.getpid()
        with pytest.raises(StudyBusy, match=f"process {os.getpid()}"), tick_lock(file):
            pass
    assert running_tick(file) is None
    assert not file.exists()


def test_the_lock_of_a_process_that_has_ended_is_taken_over(file: Path) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    rewrite(file, process=child.pid, started=process_start(child.pid))
    with pytest.raises(StudyBusy), tick_lock(file):
        pass
    child.kill()
    child.wait()
    with tick_lock(file):
        assert (found := holder(file)) is not None
        assert found.process == os.getpid()


def test_a_process_that_was_given_the_same_number_is_another_one(file: Path) -> None:
    """As in containers, where every tick may be process 1; and after a reboot."""
    rewrite(file, process=os.getpid(), started="an earlier boot 17")
    assert running_tick(file) is None
    with tick_lock(file):
        pass


def test_of_another_machine_the_sign_of_life_counts(file: Path) -> None:
    rewrite(file, host="elsewhere", process=1, started="1")
    with pytest.raises(StudyBusy, match="of elsewhere"), tick_lock(file):
        pass
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with tick_lock(file):
        pass


def test_a_damaged_lock_holds_nobody_up(file: Path) -> None:
    file.parent.mkdir()
    file.write_text('{"host": ')
    with tick_lock(file):
        pass


def test_the_start_of_a_process_does_not_change(file: Path) -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", ""])
    while process_start(child.pid) is not None:  # a zombie has ended, too
        pass
    child.wait()
