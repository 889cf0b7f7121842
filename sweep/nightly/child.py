"""A study's process, and its deadline: first its budget, then SIGINT, then SIGTERM, and at last SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sweep.nightly.clock import Clock
from sweep.nightly.tick_lock import process_start

_POLL_SECONDS, _LEAST_POLL_SECONDS = 0.5, 0.01
_LONGEST_CLOSING, _CLOSING_SHARE = 180.0, 0.1
_AFTER_SIGTERM = 30.0
_MOST_STOPPING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a study's process ended.

    Attributes:
        exit_code: as the shell shows it: 128 and the number of the signal that ended it.
        signals: those that it was sent, in order.
        seconds: how long it ran.
        ended: when it ended, in seconds since the epoch.
    """

    exit_code: int
    signals: tuple[signal.Signals, ...]
    seconds: float
    ended: float


def closing_seconds(seconds: float) -> float:
    """How much of a turn is kept for what a study does after its last trial: recording and reports."""
    return min(_LONGEST_CLOSING, _CLOSING_SHARE * seconds)


def run_until(
    words: Callable[[float], Sequence[str]],
    *,
    until: float,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    clock: Clock,
    should_stop: Callable[[], bool],
    alive: Callable[[], None],
    begun: Callable[[int], None],
) -> Ended:
    """Runs a study's process in its folder until it ends, or must.

    The process gets its seconds as a budget. If it runs on, it is asked to stop when half of the closing time is left (SIGINT), at the
    end with emphasis (SIGTERM), and is killed if it does not follow. It is also asked when this process is to stop.

    Args:
        words: the command line, given the seconds of the budget.
        until: when the process must have ended, in seconds since the epoch.
        log: receives its output.
        should_stop: whether this process was asked to stop.
        alive: called every moment.
        begun: called with the process's number.
    """
    began = clock.now()
    closing = closing_seconds(until - began)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            list(words(max(1.0, until - began - closing))),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which passes it on
        )
    steps = {signal.SIGINT: until - closing / 2, signal.SIGTERM: until, signal.SIGKILL: until + _AFTER_SIGTERM}
    sent: list[signal.Signals] = []
    asked = False
    try:
        begun(process.pid)
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(_LEAST_POLL_SECONDS, clock.wait(_POLL_SECONDS)))
                break
            alive()
            if not asked and should_stop():
                asked, now = True, clock.now()
                stopping = min(until - now, _MOST_STOPPING_SECONDS)
                steps[signal.SIGINT] = now
                steps[signal.SIGTERM] = now + max(0.0, stopping)
                steps[signal.SIGKILL] = steps[signal.SIGTERM] + _AFTER_SIGTERM
            for number, moment in steps.items():
                if number not in sent and clock.now() >= moment:
                    _send(process, number)
                    sent.append(number)
                    break
    finally:
        if process.poll() is None:  # this process ends by an error: nothing stays behind
            _send(process, signal.SIGKILL)
            process.wait()
    code = process.returncode
    ended = clock.now()
    return Ended(code if code >= 0 else 128 - code, tuple(sent), ended - began, ended)


def end_left_over(number: int, started: str | None) -> bool:
    """Stops a study whose tick was killed; returns whether it was still running. It keeps what is finished.

    Args:
        number, started: of its process (`process_start`).
    """
    running = False
    for sign, seconds in (
        (signal.SIGINT, _MOST_STOPPING_SECONDS),
        (signal.SIGTERM, _AFTER_SIGTERM),
        (signal.SIGKILL, _AFTER_SIGTERM),
    ):
        if started is None or process_start(number) != started:
            return running
        running = True
        with suppress(psutil.Error):
            process = psutil.Process(number)
            process.send_signal(sign)
            process.wait(timeout=seconds)
    return running


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Asks the study's own process, which ends its workers in order; the last signal is for all of them."""
    with suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
