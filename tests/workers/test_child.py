"""The explanation of why a worker could not start, and the orders that it takes together."""

from __future__ import annotations

import threading
import time
from multiprocessing import Pipe

import pytest

from sweep.records import Stage, Training, TrialSpec
from sweep.workers.child import _Inbox, _why_not_started
from sweep.workers.messages import RunTrial


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
    ],
)
def test_every_kind_of_out_of_memory_is_named(error: Exception) -> None:
    assert _why_not_started(error).startswith("memory ran out while the worker started")


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
