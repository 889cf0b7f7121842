"""The process that records in MLflow, and the parent's handle of it.

The sweep sends pairs of a number and a request. A journal entry (a dictionary) is recorded in order and retried while the
store is away; a call (the name of a `Tracker` method and its arguments) is answered at once. Replies are pairs of the same
number and the result, or a `RemoteError`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep import errors
from sweep.console.masking import hide, mask, mask_log
from sweep.errors import EnvironmentLacks, GoldilocksError
from sweep.records import Status, trial_result_from_json, trial_spec_from_json
from sweep.store.sqlite_files import write_ahead
from sweep.tracking.address import DATABASES, address_of
from sweep.tracking.away import StoreAway, is_away
from sweep.tracking.journal import Entry
from sweep.tracking.port import Champion, RecordRefused, is_provisional, summary_from_json

if TYPE_CHECKING:
    from sweep.tracking.mlflow_tracker import MlflowTracker

NAME = "goldilocks-recorder"

READY = "ready"
"""A call that returns as soon as the store is open."""
STORE_AWAY, NO_REPLY = 0, -1
"""Numbers of messages that are not replies: the store is away; and of entries that need no reply."""

_RETRY_SECONDS = 2.0
"""Between attempts to reach a store that is away."""
_AT_ONCE_SECONDS = 5.0
"""A first failure that came sooner than this is tried again at once: a connection that was idle for too long may be gone."""
_JOIN_SECONDS = 10.0
"""For the process to end after the sweep has closed the connection."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What the process needs to open the store.

    Attributes:
        uri: see `MlflowTracker`.
        artifact_root: see `MlflowTracker`.
        owner: the process that sweeps.
        own: the store's file if it is the project's own (`sweep.store.sqlite_files`), else None.
        log: the file for what MLflow prints; None prints it.
    """

    uri: str
    artifact_root: Path | None
    owner: str
    own: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class RemoteError:
    """An error on its way to another process."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: GoldilocksError) -> RemoteError:
        return cls(type(error).__name__, str(error))

    def error(self) -> GoldilocksError:
        own = {kind.__name__: kind for kind in (RecordRefused, StoreAway)}
        return own.get(self.kind, getattr(errors, self.kind, EnvironmentLacks))(self.text)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in (EnvironmentLacks.__name__, StoreAway.__name__)


class RecorderProcess:
    """The parent's handle: the running process and the connection to it."""

    connection: Connection

    def __init__(self, settings: RecorderSettings) -> None:
        self._settings = settings
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=record, args=(theirs, self._settings), name=NAME, daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def id(self) -> int:
        return self._process.pid or 0

    def send(self, message: Any) -> bool:
        """Returns whether the process could be reached."""
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def restart(self) -> None:
        """Replaces the process."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """Lets the process finish its work and end; kills it if it hangs. The journal has what it did not record."""
        self.connection.close()
        self._process.join(_JOIN_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def record(connection: Connection, settings: RecorderSettings) -> None:
    """The main function of the process."""
    # Ctrl-C and SIGTERM can reach every process of the group; only the sweep handles them
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if settings.log is not None:
        _print_to(settings.log)
    hide(settings.uri)
    mask_log()
    _RecordingLoop(connection, settings).run()


class _RecordingLoop:
    """Handles the sweep's requests in order; retries entries while the store is away, as long as the sweep lives."""

    def __init__(self, connection: Connection, settings: RecorderSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._address = address_of(settings.uri)
        self._tracker: MlflowTracker | None = None
        self._queue: deque[tuple[int, Entry]] = deque()
        self._ids: dict[str, str] = {}
        self._away = False
        self._next_attempt = 0.0

    def run(self) -> None:
        """Returns when the sweep has closed the connection and the queue is empty or the store is away."""
        connected = True
        while connected or (self._queue and not self._away):
            if connected and self._has_message():
                try:
                    number, request = self._connection.recv()
                except (EOFError, OSError):
                    connected, self._next_attempt = False, 0.0
                    continue
                if isinstance(request, dict):
                    self._queue.append((number, request))
                else:
                    self._reply(number, self._answer(*request))
            elif self._queue and time.monotonic() >= self._next_attempt:
                self._record_next()

    def _has_message(self) -> bool:
        """Waits for a message while nothing else is due."""
        if not self._queue:
            return self._connection.poll(None)
        return self._connection.poll(max(0.0, self._next_attempt - time.monotonic()))

    def _record_next(self) -> None:
        number, entry = self._queue[0]
        began = time.monotonic()
        result = self._record(entry)
        if isinstance(result, RemoteError) and result.may_pass:
            was_tried, entry["again"] = bool(entry.get("again")), True  # the store may have it although no answer came
            if not self._away and not was_tried and time.monotonic() - began < _AT_ONCE_SECONDS:
                return
            if not self._away:
                print(result.text, flush=True)
                self._reply(STORE_AWAY, None)
            self._away, self._next_attempt = True, time.monotonic() + _RETRY_SECONDS
            return
        self._away, self._next_attempt = False, 0.0
        self._queue.popleft()
        self._reply(number, result)

    def _record(self, entry: Entry) -> Any:
        known_as = str(entry["run"])
        run = self._ids.get(known_as, known_as)
        try:
            match entry["do"]:
                case "resume_sweep":
                    return self._known(known_as, self._call("resume_sweep", (run, entry["sweep"])))
                case "open_sweep":
                    again = bool(entry.get("again"))
                    return self._known(known_as, self._call("open_sweep", (entry["sweep"], known_as), again=again))
                case "open_trial":
                    parent, spec = self._ids.get(entry["parent"], entry["parent"]), trial_spec_from_json(entry["spec"])
                    again = bool(entry.get("again"))
                    return self._known(known_as, self._call("open_trial", (parent, spec, known_as), again=again))
                case "close_trial" if not is_provisional(run):
                    files = [Path(file) for file in entry["files"]]
                    return self._call("close_trial", (run, trial_result_from_json(entry["result"]), files))
                case "close_sweep":
                    summary, files = summary_from_json(entry), [Path(file) for file in entry["files"]]
                    return self._call("close_sweep", (run, Status(entry["status"]), summary, files))
                case "register":
                    return self._call("register", (run or None, Champion(**entry["champion"])))
                case "release":
                    return self._call("release", (entry["model"], entry["alias"]))
        except (KeyError, TypeError, ValueError) as error:
            return RemoteError(RecordRefused.__name__, f"another version of this program has written it: {error!r}")
        return None  # the run of this trial was refused

    def _answer(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A call's result; a run that it opened or found is known by its provisional id from then on."""
        result = self._call(method, arguments, **named)
        own = next((each for each in arguments if isinstance(each, str) and is_provisional(each)), None)
        return result if own is None else self._known(own, result)

    def _known(self, own: str, run_id: Any) -> Any:
        """Keeps the id that the store has given a run; a run may have it already."""
        if isinstance(run_id, str) and is_provisional(own):
            self._ids[own] = run_id
        return run_id

    def _call(self, method: str, arguments: tuple[Any, ...], **named: Any) -> Any:
        try:
            if self._tracker is None:
                self._tracker = local_tracker(self._settings)
            return None if method == READY else getattr(self._tracker, method)(*arguments, **named)
        except GoldilocksError as error:
            # what the tracker raised it from: `raise ... from None` hides it, so that no traceback shows an address
            if type(error) is EnvironmentLacks and is_away(self._address, error.__context__):
                return RemoteError(StoreAway.__name__, str(error))
            return RemoteError.of(error)
        except Exception as error:  # whatever breaks here, the study goes on without this record
            traceback.print_exc()
            return RemoteError(RecordRefused.__name__, mask(f"{type(error).__name__}: {error}"))

    def _reply(self, number: int, result: Any) -> None:
        """A sweep that was killed gets no reply, but its last requests are still handled."""
        with suppress(OSError):
            self._connection.send((number, result))


def local_tracker(settings: RecorderSettings) -> MlflowTracker:
    """The tracker, in the calling process."""
    # MLflow takes about a second to import
    from sweep.tracking.mlflow_tracker import MlflowTracker

    if settings.own is not None:
        write_ahead(settings.own)  # in this process, since the setting is per connection
    if address_of(settings.uri).kind in DATABASES:
        limit_waits()
    return MlflowTracker(settings.uri, settings.artifact_root, settings.owner)


@cache
def limit_waits() -> None:
    """Limits all waits of this process for database servers: one that accepts connections and never answers would hold it for ever."""
    from sweep.store.silence import SilenceWatch

    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    # a connection that waited in a pool would first be asked whether it is alive, which nothing limits
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    SilenceWatch().everywhere()


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
