"""Signals before anything runs, and while a sweep listens for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sweep.errors import EnvironmentLacks, Interrupted
from sweep.study.stopping import StopRequest


@pytest.fixture(autouse=True)
def hears_sighup() -> Iterator[None]:
    """Under `nohup`, this process and its children would ignore SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


EARLY = """
import sweep.console.signals, sys, time
sweep.console.signals.end_at_once()
print("ready", flush=True)
time.sleep(60)
"""


def started(code: str, *before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_early_ones_end_in_a_line(number: signal.Signals) -> None:
    process = started(EARLY)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (130, f"stopped by {number.name}; the same command starts again\n")


def test_a_closed_terminal_means_nothing_under_nohup() -> None:
    process = started(EARLY.replace("sleep(60)", "sleep(0.5)"), "nohup")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("module", ["sweep", "sweep.train"])
def test_the_commands_hear_them_while_they_import(module: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", module, "model=tiny"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith(("| omegaconf", "sweep.console.command")):
            break
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(60) == 130
    assert "stopped by SIGTERM" in said
    process.stderr.close()


def raise_signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_once_it_ends_where_that_is_safe(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest().listening() as stop:
        stop.check()
        raise_signal(number)
        with pytest.raises(Interrupted, match=f"stopped by {number.name}; what is finished is kept"):
            stop.check()
    assert signal.getsignal(number) == before


def test_asked_twice_whatever_breaks_in_cleaning_up_is_an_interruption() -> None:
    def sweep() -> None:
        with StopRequest().listening():
            try:
                raise_signal(signal.SIGINT)
                raise_signal(signal.SIGINT)
            finally:
                raise EnvironmentLacks("the process that records in MLflow has ended")

    with pytest.raises(Interrupted, match="asked twice"):
        sweep()


def test_what_breaks_for_another_reason_keeps_its_name() -> None:
    def sweep() -> None:
        with StopRequest().listening():
            raise_signal(signal.SIGINT)
            raise EnvironmentLacks("no space left")

    with pytest.raises(EnvironmentLacks):
        sweep()
