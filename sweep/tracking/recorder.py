"""MLflow in a process of its own: what came of a trial is recorded while the sweep asks for the next one.

MLflow takes tens of milliseconds of Python for each trial, which threads could not share. So the tracker is in another process,
which does what it is told in the order in which it is told. Nobody waits for the end of a trial's recording; whatever else is
asked waits for all that came before, and is where an error shows. If the sweep is killed, the recorder still does what it was
told and ends; if both are killed, the next sweep records what the study knows of (`SweepRun.told`).
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import errors
from sweep.errors import EnvironmentLacks, GoldilocksError
from sweep.owner import this_process
from sweep.records import Status, TrialResult, TrialSpec
from sweep.sqlite_files import write_ahead
from sweep.tracking.port import SweepRun

if TYPE_CHECKING:
    from sweep.tracking.mlflow_tracker import MlflowTracker

NAME = "goldilocks-recorder"


class Recorder:
    """`MlflowTracker` in another process; the same arguments, runs and errors.

    Args:
        own: the store's file if it is this project's own, see `sweep.sqlite_files`; None for anybody else's.

    Attributes:
        process: that process's id.

    Raises:
        ConfigurationError, EnvironmentLacks: as `MlflowTracker`.
    """

    def __init__(self, uri: str, artifact_root: Path | None, own: Path | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection: Connection
        self._connection, theirs = context.Pipe()
        process = context.Process(
            target=_record, args=(theirs, uri, artifact_root, this_process(), own), name=NAME, daemon=True
        )
        process.start()
        theirs.close()
        self.process = process.pid
        # at exit before multiprocessing would end the process, which is to finish first
        Finalize(self, _let_go, args=(self._connection, process), exitpriority=0)
        self._unanswered = 1
        self._answer()

    def open_sweep(self, sweep: SweepRun) -> str:
        """See `Tracker.open_sweep`."""
        return str(self._ask("open_sweep", sweep))

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """See `Tracker.open_trial`."""
        return str(self._ask("open_trial", parent, spec))

    def close_trial(self, run_id: str, result: TrialResult, files: Path | None) -> None:
        """See `Tracker.close_trial`; comes back at once."""
        self._tell("close_trial", run_id, result, files)

    def close_sweep(self, run_id: str, status: Status, summary: Mapping[str, float], files: Sequence[Path]) -> None:
        """See `Tracker.close_sweep`; all trials are recorded when it comes back."""
        self._ask("close_sweep", run_id, status, dict(summary), list(files))

    def link(self, run_id: str) -> str | None:
        """See `Tracker.link`."""
        found = self._ask("link", run_id)
        return None if found is None else str(found)

    def settle(self) -> None:
        """All that was told is recorded when it comes back."""
        self._answer()

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._tell(method, *arguments)
        return self._answer()

    def _tell(self, method: str, *arguments: Any) -> None:
        try:
            self._connection.send((method, arguments))
        except OSError as error:
            raise _ended() from error
        self._unanswered += 1

    def _answer(self) -> Any:
        """The answer to what was asked last; the first error on the way is raised."""
        answer: Any = None
        failed: GoldilocksError | None = None
        while self._unanswered:
            try:
                answer = self._connection.recv()
            except (EOFError, OSError) as error:
                raise _ended() from error
            self._unanswered -= 1
            if isinstance(answer, _Failed):
                failed = failed or answer.error()
        if failed is not None:
            raise failed
        return answer


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error on its way to another process."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: GoldilocksError) -> _Failed:
        return cls(type(error).__name__, str(error))

    def error(self) -> GoldilocksError:
        return getattr(errors, self.kind, GoldilocksError)(self.text)


def _ended() -> EnvironmentLacks:
    return EnvironmentLacks(
        "the process that records in MLflow has ended; run the same command again, it goes on from here"
    )


def _record(connection: Connection, uri: str, artifact_root: Path | None, owner: str, own: Path | None) -> None:
    """What runs in the process."""
    # Ctrl-C and SIGTERM may reach every process of a group; the sweep alone decides what they mean
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        tracker = opened(uri, artifact_root, owner, own)
    except GoldilocksError as error:
        _send(connection, _Failed.of(error))
        return
    _send(connection, None)
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            _send(connection, getattr(tracker, method)(*arguments))
        except GoldilocksError as error:
            _send(connection, _Failed.of(error))


def opened(uri: str, artifact_root: Path | None, owner: str, own: Path | None) -> MlflowTracker:
    """The tracker, in the process that calls this."""
    # MLflow takes about a second to import: only a process that records pays for it
    from sweep.tracking.mlflow_tracker import MlflowTracker

    if own is not None:
        write_ahead(own)  # here: how commits are made is a matter of each connection
    return MlflowTracker(uri, artifact_root, owner)


def _send(connection: Connection, answer: Any) -> None:
    """A sweep that was killed hears nothing; what it told last is still to be done."""
    with suppress(OSError):
        connection.send(answer)


def _let_go(connection: Connection, process: BaseProcess) -> None:
    connection.close()
    process.join()
    process.close()
