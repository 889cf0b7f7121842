"""The explanation of why a worker could not start, and the orders that it takes together."""

from __future__ import annotations

import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import cast

import pytest

from sweep.records import Stage, Training, TrialSpec
from sweep.runner.runner import TrialRunner
from sweep.runner.running import Listener
from sweep.workers.child import ParentEnded, _Inbox, _run_trials, _why_not_started
from sweep.workers.messages import DeviceFailure, RunTrial
from tests.study.driven import Threads


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
    ],
)
def test_every_kind_of_out_of_memory_is_named(error: Exception) -> None:
    assert _why_not_started(error).startswith("memory ran out while the worker started")


def test_a_device_that_fails_while_a_worker_starts_is_named() -> None:
    words = _why_not_started(
        RuntimeError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be late")
    )
    assert words.startswith(
        "the GPU failed while the worker started (RuntimeError: CUDA error: uncorrectable ECC error encountered)"
    )
    assert "nvidia-smi" in words


class BrokenRunner:
    """A runner whose first pass raises an error."""

    idle = True

    def __init__(self, error: Exception) -> None:
        self._error = error

    def begin(self, spec: TrialSpec, listener: object) -> None:
        """Takes the trial."""

    def advance(self) -> list[object]:
        raise self._error


def test_a_device_that_fails_ends_the_worker_and_no_trial() -> None:
    ours, theirs = Pipe()
    ours.send(RunTrial(TrialSpec("a", "made", Stage.BASE, None, Training(), 0)))
    _run_trials(theirs, cast(TrialRunner, BrokenRunner(RuntimeError("CUDA error: device-side assert triggered\nmore"))))
    assert ours.recv() == DeviceFailure("RuntimeError: CUDA error: device-side assert triggered")
    assert not ours.poll()


def test_any_other_error_of_a_worker_is_its_end() -> None:
    ours, theirs = Pipe()
    ours.send(RunTrial(TrialSpec("a", "made", Stage.BASE, None, Training(), 0)))
    with pytest.raises(KeyError):
        _run_trials(theirs, cast(TrialRunner, BrokenRunner(KeyError("a mistake of ours"))))


class ReportingRunner:
    """A runner that reports to the parent in a pass, and takes any error for a failure of the trial."""

    idle = True

    def __init__(self, parent: Connection, *, waits: bool) -> None:
        self._parent = parent
        self._waits = waits

    def begin(self, spec: TrialSpec, listener: Listener) -> None:
        """Takes the trial."""
        self._listener = listener

    def advance(self) -> list[object]:
        try:
            if self._waits:
                threading.Timer(0.1, self._parent.close).start()
                self._listener.report(1, 0.5)
            else:
                self._parent.close()
                self._listener.progress("train", 1, 2)
        except Exception as error:
            raise AssertionError("the end of the parent is no failure of a trial") from error
        return []


@pytest.mark.parametrize("waits", [True, False])
def test_a_worker_whose_parent_was_killed_ends_in_the_middle_of_a_trial(waits: bool) -> None:
    ours, theirs = Pipe()
    ours.send(RunTrial(TrialSpec("a", "made", Stage.BASE, None, Training(), 0)))
    with pytest.raises(ParentEnded):
        _run_trials(theirs, cast(TrialRunner, ReportingRunner(ours, waits=waits)))


def test_a_worker_in_a_thread_ends_with_its_parent_and_without_a_warning() -> None:
    ours, theirs = Pipe()
    ours.send(RunTrial(TrialSpec("a", "made", Stage.BASE, None, Training(), 0)))
    runner = cast(TrialRunner, ReportingRunner(ours, waits=False))
    worker = Threads.Process(target=_run_trials, args=(theirs, runner), name="worker", daemon=True)
    theirs.close()
    worker.start()
    worker.join(10.0)
    assert not worker.is_alive()


def test_any_other_error_is_named() -> None:
    assert _why_not_started(ImportError("no peft")).startswith("the worker cannot start: ImportError: no peft")


def test_a_worker_that_waits_takes_what_is_sent_together() -> None:
    ours, theirs = Pipe()
    inbox = _Inbox(theirs)
    orders = [RunTrial(TrialSpec(name, "made", Stage.BASE, None, Training(), 0)) for name in "abc"]

    def send() -> None:
        for order in orders:
            time.sleep(0.01)
            ours.send(order)

    sender = threading.Thread(target=send)
    sender.start()
    taken = list(inbox.orders(wait=True))
    sender.join()
    # on a busy machine the sender may pause for longer; nothing is lost then
    assert [*taken, *inbox.orders(wait=False)] == orders
    assert list(inbox.orders(wait=False)) == []
    ours.send(orders[0])
    ours.send(orders[1])
    assert len(list(inbox.orders(wait=True))) == 2
    ours.close()
    with pytest.raises(EOFError):
        list(inbox.orders(wait=True))
