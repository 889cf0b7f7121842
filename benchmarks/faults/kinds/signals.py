"""Processes that are killed, asked to stop, or held up; and two sweeps of one study."""

from __future__ import annotations

import contextlib
import signal
import time
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM

import psutil

from benchmarks.faults.call import Call
from benchmarks.faults.case import Case
from benchmarks.faults.kind import DONE, FRESH, HALF, KILLED, LACKS, REFUSED, STOPPED, kind
from benchmarks.faults.moments import EARLIEST_SECONDS
from benchmarks.faults.processes import logs, records, spawned_by, waited
from benchmarks.faults.study import NAME

BOTH = (FRESH, FRESH, HALF)
_BUSY = r"already running here"
_FIRST_OR_BUSY = frozenset({0, 2})
_A_PROCESS_SECONDS = 30.0


@kind("kill-sweep", starts=BOTH)
def kill_sweep(case: Case) -> None:
    """SIGKILL of the sweep."""
    call = case.under_way(KILLED)
    call.send(SIGKILL)


@kind("kill-worker", starts=BOTH)
def kill_worker(case: Case) -> None:
    """SIGKILL of a worker."""
    call = case.under_way()
    _kill_one(case, call, worker=True)


@kind("kill-recorder", starts=BOTH)
def kill_recorder(case: Case) -> None:
    """SIGKILL of the process that records in MLflow."""
    call = case.under_way(LACKS, says="MLflow")
    _kill_one(case, call, worker=False)


@kind("kill-all", starts=BOTH)
def kill_all(case: Case) -> None:
    """SIGKILL of sweep, workers and recorder at once."""
    call = case.under_way(KILLED)
    for process in reversed(call.family()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@kind("kill-all-torn", starts=BOTH)
def kill_all_torn(case: Case) -> None:
    """SIGKILL of all at once, and the last bytes of what MLflow was still to hear are lost, as in a power cut."""
    call = case.under_way(KILLED)
    for process in reversed(call.family()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    call.end()
    for journal in sorted((case.root / "tracking").glob("*.jsonl")):
        size = journal.stat().st_size
        left = max(0, size - int(case.between(1, 20_000, "bytes lost")))
        with journal.open("r+b") as stream:
            stream.truncate(left)


@kind("kill-again")
def kill_again(case: Case) -> None:
    """SIGKILL of the sweep three times, each time in the run that goes on."""
    for _ in range(3):
        call = case.under_way(KILLED)
        call.send(SIGKILL)
        call.end()


@kind("kill-at-once")
def kill_at_once(case: Case) -> None:
    """SIGKILL in the first second."""
    call = case.call(KILLED)
    time.sleep(case.between(0.01, 1.0, "s"))
    call.send(SIGKILL)


@kind("stop-at-once")
def stop_at_once(case: Case) -> None:
    """SIGTERM or SIGINT in the first second."""
    call = case.call(STOPPED)
    number = case.one_of(SIGTERM, SIGINT)
    time.sleep(case.between(EARLIEST_SECONDS, 1.0, "s"))
    call.send(number)


@kind("sigterm", starts=BOTH)
def sigterm(case: Case) -> None:
    """SIGTERM."""
    case.under_way(STOPPED, says="SIGTERM").send(SIGTERM)


@kind("ctrl-c", starts=BOTH)
def ctrl_c(case: Case) -> None:
    """Ctrl-C: SIGINT to every process, as a terminal sends it."""
    case.under_way(STOPPED).send(SIGINT, group=True)


@kind("ctrl-c-twice", starts=BOTH)
def ctrl_c_twice(case: Case) -> None:
    """Ctrl-C twice, at most a second apart."""
    call = case.under_way(STOPPED)
    call.send(SIGINT, group=True)
    time.sleep(case.between(0.01, 1.0, "s"))
    call.send(SIGINT, group=True)


@kind("hang-up", starts=BOTH)
def hang_up(case: Case) -> None:
    """SIGHUP to every process, as a terminal that is closed sends it."""
    case.under_way(STOPPED).send(SIGHUP, group=True)


@kind("suspend", starts=BOTH)
def suspend(case: Case) -> None:
    """SIGSTOP of all processes and SIGCONT, in between the same command once more."""
    # a sweep that is stopped before it holds the study's lock finds the study held, or done, when it goes on
    call = case.under_way(_FIRST_OR_BUSY, says=_BUSY)
    suspended = call.send(SIGSTOP, group=True)
    holds = suspended and (case.root / "locks" / f"{NAME}.pid").exists()
    case.call(REFUSED if holds else DONE, says=_BUSY).end()
    call.send(SIGCONT, group=True)


@kind("suspend-worker")
def suspend_worker(case: Case) -> None:
    """SIGSTOP of a worker, and SIGCONT some seconds later."""
    call = case.under_way()
    for process in _spawned(call, worker=True)[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            waited(call.is_over, case.between(1.0, 10.0, "s"))
            process.resume()


@kind("second-sweep")
def second_sweep(case: Case) -> None:
    """The same command once more while it runs."""
    call = case.under_way(_FIRST_OR_BUSY, says=_BUSY)
    # the first may end while the second starts
    case.call(_FIRST_OR_BUSY, says=_BUSY).end()
    call.end()


@kind("two-at-once")
def two_at_once(case: Case) -> None:
    """The same command twice at the same time."""
    for _ in range(2):
        case.call(_FIRST_OR_BUSY, says=_BUSY)
        time.sleep(case.between(0.001, 1.0, "s"))


def _kill_one(case: Case, call: Call, *, worker: bool) -> None:
    for process in _spawned(call, worker=worker)[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
            return
    case.landed = False


def _spawned(call: Call, *, worker: bool) -> list[psutil.Process]:
    """Waits until there is a worker, or a recorder; none if the sweep is over before."""
    matching: list[psutil.Process] = []

    def there() -> bool:
        matching.clear()
        with contextlib.suppress(psutil.NoSuchProcess):
            matching.extend(filter(logs if worker else records, spawned_by(call.pid)))
        return bool(matching)

    waited(there, _A_PROCESS_SECONDS, call.is_over)
    return matching
