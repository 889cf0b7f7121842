"""What runs in the process that records: it does as the sweep tells, in that order, and tries again what the store cannot take.

The sweep sends pairs of a number and what is to be done. An entry, as the journal keeps it, is done whenever the store takes it;
a question (the name of a `Tracker`'s method, and its arguments) is answered at once. Answers are pairs of the same number and
what came of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import errors
from sweep.console.masking import hide, mask_output
from sweep.errors import EnvironmentLacks, GoldilocksError
from sweep.records import Status, trial_result_from_json, trial_spec_from_json
from sweep.store.sqlite_files import write_ahead
from sweep.tracking.journal import Entry
from sweep.tracking.port import Refused, Summary, has_page

if TYPE_CHECKING:
    from sweep.tracking.mlflow_tracker import MlflowTracker

READY = "ready"
"""The question whether the store could be opened."""
AWAY, NOT_ASKED = 0, -1
"""Numbers of messages that are no answers: the store is away; and of entries that nobody waits for."""

_TRY_AGAIN = 2.0
"""Seconds between attempts to reach a store that is away."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a process that records is started with.

    Attributes:
        uri: see `MlflowTracker`.
        artifact_root: see `MlflowTracker`.
        owner: the process that sweeps.
        own: the store's file if it is this project's own, see `sweep.store.sqlite_files`; None for anybody else's.
        log: the file that takes what MLflow prints; None: it is printed.
    """

    uri: str
    artifact_root: Path | None
    owner: str
    own: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An error on its way to another process."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: GoldilocksError) -> Failed:
        return cls(type(error).__name__, str(error))

    def error(self) -> GoldilocksError:
        if self.kind == Refused.__name__:
            return Refused(self.text)
        return getattr(errors, self.kind, EnvironmentLacks)(self.text)


def record(connection: Connection, start: Start) -> None:
    """What runs in the process."""
    # Ctrl-C and SIGTERM may reach every process of a group; the sweep alone decides what they mean
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if start.log is not None:
        _print_to(start.log)
    hide(start.uri)
    mask_output()
    _Recording(connection, start).run()


class _Recording:
    """Does what the sweep tells in its order. What the store cannot take now is tried again until the sweep is gone."""

    def __init__(self, connection: Connection, start: Start) -> None:
        self._connection = connection
        self._start = start
        self._opened: MlflowTracker | None = None
        self._waiting: deque[tuple[int, Entry]] = deque()
        self._ids: dict[str, str] = {}
        self._away = False
        self._next_try = 0.0

    def run(self) -> None:
        """Returns when the sweep has let go and all is done, or the store is away."""
        listening = True
        while listening or (self._waiting and not self._away):
            if listening and self._connection_has_more():
                try:
                    number, told = self._connection.recv()
                except (EOFError, OSError):
                    listening, self._next_try = False, 0.0
                    continue
                if isinstance(told, dict):
                    self._waiting.append((number, told))
                else:
                    self._answer(number, self._attempt(*told))
            elif self._waiting and time.monotonic() >= self._next_try:
                self._do_next()

    def _connection_has_more(self) -> bool:
        """Waits for it while there is nothing to do."""
        if not self._waiting:
            return self._connection.poll(None)
        return self._connection.poll(max(0.0, self._next_try - time.monotonic()))

    def _do_next(self) -> None:
        number, entry = self._waiting[0]
        answer = self._done(entry)
        if isinstance(answer, Failed) and answer.kind == EnvironmentLacks.__name__:
            if not self._away:
                print(answer.text, flush=True)
                self._answer(AWAY, None)
            self._away, self._next_try = True, time.monotonic() + _TRY_AGAIN
            return
        self._away, self._next_try = False, 0.0
        self._waiting.popleft()
        self._answer(number, answer)

    def _done(self, entry: Entry) -> Any:
        told = str(entry["run"])
        run = self._ids.get(told, told)
        try:
            match entry["do"]:
                case "resume_sweep":
                    return self._attempt("resume_sweep", (run, entry["sweep"]))
                case "open_trial":
                    spec, again = trial_spec_from_json(entry["spec"]), bool(entry.get("again"))
                    opened = self._attempt("open_trial", (entry["parent"], spec, run), again=again)
                    if isinstance(opened, str):
                        self._ids[run] = opened
                    return opened
                case "close_trial" if has_page(run):
                    files = [Path(file) for file in entry["files"]]
                    return self._attempt("close_trial", (run, trial_result_from_json(entry["result"]), files))
                case "close_sweep":
                    summary, files = Summary(entry["metrics"], entry["tags"]), [Path(file) for file in entry["files"]]
                    return self._attempt("close_sweep", (run, Status(entry["status"]), summary, files))
        except (KeyError, TypeError, ValueError) as error:
            return Failed(Refused.__name__, f"another version of this program has written it: {error!r}")
        return None  # the run of this trial was refused

    def _attempt(self, method: str, arguments: tuple[Any, ...], **named: Any) -> Any:
        try:
            if self._opened is None:
                self._opened = opened(self._start)
            return None if method == READY else getattr(self._opened, method)(*arguments, **named)
        except GoldilocksError as error:
            return Failed.of(error)
        except Exception as error:  # whatever breaks in here, the study goes on without it
            traceback.print_exc()
            return Failed(Refused.__name__, f"{type(error).__name__}: {error}")

    def _answer(self, number: int, answer: Any) -> None:
        """A sweep that was killed hears nothing; what it told last is still to be done."""
        with suppress(OSError):
            self._connection.send((number, answer))


def opened(start: Start) -> MlflowTracker:
    """The tracker, in the process that calls this."""
    # MLflow takes about a second to import: only a process that records pays for it
    from sweep.tracking.mlflow_tracker import MlflowTracker

    if start.own is not None:
        write_ahead(start.own)  # here: how commits are made is a matter of each connection
    return MlflowTracker(start.uri, start.artifact_root, start.owner)


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
