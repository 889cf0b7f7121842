"""Records on their way to MLflow: in a journal on disk, and with the process that records, until the store has them.

A store that goes away does not stop the sweep: the process retries every few seconds, and the next sweep records what is left at the
end. A run that is opened meanwhile has a provisional id (`port.provisional_id`), which becomes a tag of the run in the store: by it, a
run whose creation was answered by nobody is found again instead of being made twice. A process that is killed is replaced; after too many,
the store counts as away for the rest of the sweep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing.util import Finalize
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sweep.errors import EnvironmentLacks
from sweep.tracking.address import address_of
from sweep.tracking.away import Absence, StoreAway
from sweep.tracking.journal import Entry, Journal, JournalFolder
from sweep.tracking.left_journals import LeftJournals
from sweep.tracking.port import SweepRun, is_provisional
from sweep.tracking.recorder_process import NO_REPLY, STORE_AWAY, RecorderProcess, RecorderSettings, RemoteError

_AWAY_SECONDS = 30.0
"""The longest wait at the end of a sweep for a store that is away."""
_SLOW_SECONDS = 600.0
"""The longest wait for a store that is working, for example on the files of a large adapter."""
_QUIET_SECONDS = 5.0
"""The wait at the end of a sweep before a message says so."""
_MAX_RESTARTS = 5
"""After that many killed processes, something is wrong with this machine."""
_PROCESS_ENDED = (
    "the process that records in MLflow has ended: check that the disk is not full and that no limit on file sizes is set "
    "(`ulimit -f`); its output is in mlruns/logs"
)
_SHOWN_REFUSALS = 3
_REGISTRATIONS = ("register", "release")
"""What a later call has to ask for again if the store refuses it."""


class RecordQueue:
    """The records that the store has not taken yet, oldest first, and the process that gives them to it.

    Args:
        settings: what the process needs to open the store.
        folder: the folder of the journals (`sweep.tracking.journal`).
        say: called with each message for the user, one line.

    Attributes:
        store: the store's address without secrets.
        absence: whether the store is away.
        refused_registration: whether the store has refused to register a model, or to release it, for this sweep or for one before it.
    """

    def __init__(self, settings: RecorderSettings, folder: Path, say: Callable[[str], None]) -> None:
        self.store = address_of(settings.uri).shown
        self.absence = Absence(self.store, folder, settings.log, say)
        self.refused_registration = False
        self._say = say
        self._journals = JournalFolder(folder, self.store)
        self._journal: Journal | None = None
        self._left = LeftJournals(self._journals, say)
        self._sweeps: dict[str, SweepRun] = {}
        self._last_number = 0
        self._pending: dict[int, Entry] = {}
        self._replies: dict[int, Any] = {}
        self._ids: dict[str, str] = {}
        self._is_behind = False
        self._refused = 0
        self._restarts = 0
        self._has_ended = False  # the process was killed too often and is not replaced any more
        self._process = RecorderProcess(settings)
        # runs before multiprocessing terminates its daemons at exit: the process must finish first
        Finalize(self, self._process.stop, exitpriority=0)

    @property
    def process(self) -> int:
        """The id of the process."""
        return self._process.id

    def known_as(self, run_id: str) -> str:
        """The id of a run in the store, as far as it is known; else the id that was given."""
        return self._ids.get(run_id, run_id)

    def know(self, run_id: str, stored: str) -> None:
        """Notes the id that the store has given a run."""
        self._ids[run_id] = stored

    def begin(self, run_id: str, sweep: SweepRun) -> None:
        """From now on records of this sweep's run may follow."""
        self._sweeps[run_id] = sweep
        self.begin_journal(run_id, sweep)

    def begin_journal(self, run_id: str, sweep: SweepRun) -> None:
        """From now on records are kept in a journal, unless they are already.

        Args:
            run_id: the run of the sweep; `left_journals.NO_RUN` if it has none.
        """
        if self._journal is None:
            data_sets = [asdict(each) for each in sweep.data_sets]
            common = {"sweep": run_id, "params": dict(sweep.params), "data_sets": data_sets}
            self._journal = Journal(self._journals, sweep.study, common)

    def add_left(self, sweep: SweepRun) -> None:
        """Adds what earlier sweeps of the study left; a store that is away gets it before what follows, another one takes it now."""
        for entry, known in self._left.take_up(sweep):
            self._send(entry, known)
        if self._pending and not self.absence.is_now:
            self.wait_for_all()

    def add(self, entry: Entry, *, sweep: SweepRun | None = None) -> int:
        """Adds a record without waiting; returns its number.

        Args:
            sweep: what the process needs beside the entry, and no journal holds.
        """
        if self._journal is not None:
            try:
                self._journal.append(entry)
            except OSError as error:
                self._say(f"records that MLflow has not taken yet cannot be kept on disk: {error}")
                self._journal = None
        return self._send(entry, sweep)

    def wait_for(self, number: int, seconds: float) -> None:
        """Waits until the store has a record; not at all while it is away, or behind since an earlier wait.

        Args:
            seconds: the longest wait; a store that takes longer is behind.
        """
        end = time.monotonic() + seconds
        while number in self._pending and not self.absence.is_now and not self._is_behind:
            self.receive(0.25)
            self._is_behind = number in self._pending and time.monotonic() > end

    def call(
        self,
        method: str,
        *arguments: Any,
        seconds: float | None = None,
        once_more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """Calls a method of the tracker in the process, and waits for the result; a process that replaces a killed one is asked again.

        Args:
            once_more: further arguments by name for the second time, since the killed process may have done what was asked.

        Raises:
            EnvironmentLacks: the process was killed twice before the sweep had a run, or what the method raises.
            StoreAway: the process was killed too often, the store is away, or it has not answered within `seconds`; it
                may do what was asked later.
        """
        end = None if seconds is None else time.monotonic() + seconds
        self._last_number += 1
        number = self._last_number
        restarts = self._restarts
        if not self._has_ended and not self._process.send((number, (method, arguments, {}))):
            self._restart()
        while number not in self._replies:
            if self._has_ended:
                raise StoreAway(_PROCESS_ENDED)
            if self._restarts > restarts:
                restarts = self._restarts
                self._process.send((number, (method, arguments, dict(once_more))))
            self.receive(1.0)
            if end is not None and time.monotonic() > end and number not in self._replies:
                raise StoreAway(f"tracking.uri: {self.store} has not answered within {seconds:g} s")
        reply = self._replies.pop(number)
        if isinstance(reply, RemoteError):
            raise reply.error()
        return reply

    def settle(self) -> bool:
        """As `wait_for_all`; says what the store has not taken."""
        if not self.wait_for_all():
            self._say(
                f"MLflow: {self.store} has not taken {len(self._pending)} record(s); they are kept in {self.absence.kept_in}, and "
                "the next run of the same command records them"
            )
        return not self._pending

    def wait_for_all(self) -> bool:
        """Waits until the store has every record: half a minute if it is away, longer if it is slow. Returns whether it has."""
        last, left, said_as_away = time.monotonic(), len(self._pending), None
        while (
            self._pending
            and not self._has_ended
            and time.monotonic() - last < (_AWAY_SECONDS if self.absence.is_now else _SLOW_SECONDS)
        ):
            self.receive(0.25)
            if len(self._pending) < left:
                last, left = time.monotonic(), len(self._pending)
            elif said_as_away is not self.absence.is_now and time.monotonic() - last > _QUIET_SECONDS:
                said_as_away = self.absence.is_now
                limit = (
                    f" for up to {_AWAY_SECONDS:g} s; the next run records what is left" if self.absence.is_now else ""
                )
                self._say(f"MLflow: waiting for {self.store} to take {left} record(s){limit}")
        return not self._pending

    def receive(self, seconds: float) -> None:
        """Handles all messages of the process, waiting up to `seconds` for the first; does nothing once it is not replaced any more."""
        if self._has_ended:
            return
        try:
            while (connection := self._process.connection).poll(seconds):
                seconds = 0.0
                number, reply = connection.recv()
                if number in self._pending:
                    self._acknowledge(number, reply)
                elif number > 0:
                    self._replies[number] = reply
                elif number == STORE_AWAY:
                    self.absence.begin()
        except (EOFError, OSError):
            self._restart()

    def _send(self, entry: Entry, sweep: SweepRun | None) -> int:
        self._last_number += 1
        sent = entry if sweep is None else {**entry, "sweep": sweep}
        self._pending[self._last_number] = sent
        if not self._has_ended and not self._process.send((self._last_number, sent)):
            self._restart()
        return self._last_number

    def _acknowledge(self, number: int, reply: Any) -> None:
        entry = self._pending.pop(number)
        self.absence.end()
        if isinstance(reply, RemoteError):
            self._refused += 1
            self.refused_registration |= entry["do"] in _REGISTRATIONS
            if self._refused <= _SHOWN_REFUSALS:
                self._say(f"MLflow did not take a record ({entry['do']}): {reply.text.splitlines()[0]}")
        elif isinstance(reply, str) and is_provisional(entry["run"]):
            self._ids[entry["run"]] = reply
        if not self._pending:
            self._is_behind = False
            if self._journal is not None:
                self._journal.clear()
            self._left.clear()

    def _restart(self) -> None:
        """Replaces a process that was killed, and sends it all that is not recorded yet, of earlier sweeps too.

        After too many, journals alone are written: MLflow cannot stop a study.

        Raises:
            EnvironmentLacks: it was killed twice before the sweep had a run.
        """
        self._restarts += 1
        known_sweeps = {**self._left.sweeps, **self._sweeps}
        if not known_sweeps and not self._journal and self._restarts > 1:  # it may be unable to start
            raise EnvironmentLacks(_PROCESS_ENDED)
        if self._restarts > _MAX_RESTARTS:
            self._has_ended = True
            self.absence.begin(StoreAway(_PROCESS_ENDED))
            return
        self._say("MLflow: the recorder process was killed; a new one replaces it")
        self._process.restart()
        for run_id, sweep in known_sweeps.items():
            self._process.send((NO_REPLY, {"do": "resume_sweep", "run": run_id, "sweep": sweep}))
        for number, entry in self._pending.items():
            self._process.send((number, {**entry, "run": self.known_as(entry["run"]), "again": True}))
