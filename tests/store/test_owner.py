"""What a killed process left is told from what a live one has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from sweep.store.owner import is_gone, is_here, is_left, this_process


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


def test_what_an_ended_process_or_an_earlier_one_of_this_number_did_is_left() -> None:
    assert is_left(f"{socket.gethostname()}:{ended_process()}", by=this_process())
    assert is_left(this_process(), by=this_process())
    assert not is_left(f"{socket.gethostname()}:{os.getppid()}", by=this_process())
    assert not is_left("elsewhere:1", by=this_process())


@pytest.mark.parametrize("owner", ["", ":", "elsewhere:1", "nonsense", f"{socket.gethostname()}:x"])
def test_nothing_is_known_of_others(owner: str) -> None:
    assert not is_here(owner)
    assert not is_gone(owner)
