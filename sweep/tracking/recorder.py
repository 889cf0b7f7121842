"""MLflow in a separate process: a trial is recorded while the sweep asks for the next one.

MLflow takes tens of milliseconds of Python per trial, which threads cannot run in parallel. The process handles requests in
order; if the sweep is killed, it finishes them and ends.

A store that goes away, or is away when a sweep begins, does not stop the sweep. Records go to a journal
(`sweep.tracking.journal`) until the store has them; the process retries every few seconds, and the next sweep records what is left
at the end. A run that is opened meanwhile has a provisional id (`port.provisional_id`), which becomes a tag of the run in the store:
by it, a run whose creation was answered by nobody is found again instead of being made twice. A recorder process that is killed is
replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec, to_json
from sweep.store.locks import this_process
from sweep.tracking.address import address_of
from sweep.tracking.away import Absence, StoreAway
from sweep.tracking.journal import Entry, Journal, JournalFolder, described, described_sweep, orphaned_journals
from sweep.tracking.port import Champion, DataSet, Summary, SweepRun, is_provisional, provisional_id
from sweep.tracking.recorder_process import (
    NO_REPLY,
    READY,
    STORE_AWAY,
    RecorderProcess,
    RecorderSettings,
    RemoteError,
)

_OPEN_SECONDS = 15.0
"""The longest wait for the id of a trial's run; the store can hang, and the trial is training already."""
_START_SECONDS = 60.0
"""The longest wait for the run of a sweep, while its workers load; a server that is slower gets it later."""
_AWAY_SECONDS = 30.0
"""The longest wait at the end of a sweep for a store that is away."""
_SLOW_SECONDS = 600.0
"""The longest wait for a store that is working, for example on the files of a large adapter."""
_QUIET_SECONDS = 5.0
"""The wait at the end of a sweep before a message says so."""
_MAX_RESTARTS = 5
"""After that many killed processes, something is wrong with this machine."""
_SHOWN_REFUSALS = 3
_REGISTRATIONS = ("register", "release")
"""What a later call has to ask for again if the store refuses it."""
_NO_RUN = ""
"""In place of a run's id: a record that belongs to no run of a sweep."""


class Recorder:
    """`MlflowTracker` in a separate process; records the same runs.

    Args:
        uri: see `MlflowTracker`.
        artifact_root: see `MlflowTracker`.
        folder: the folder of the journals (`sweep.tracking.journal`).
        own: see `RecorderSettings`.
        log: see `RecorderSettings`.
        say: called with each message for the user, one line.

    Raises:
        ConfigurationError, EnvironmentLacks: as `MlflowTracker`, unless the store is a server that is away at the moment; later only
            `open_sweep`, `resume_sweep` and `link` raise them.
    """

    def __init__(
        self,
        uri: str,
        artifact_root: Path | None,
        folder: Path,
        own: Path | None = None,
        log: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        address = address_of(uri)
        self._store = address.shown
        # making the tables of a file may take long, on a machine that is busy
        self._start_seconds = _START_SECONDS if address.endpoint is not None else None
        self._journals = JournalFolder(folder, self._store)
        self._say = say
        self._journal: Journal | None = None
        self._sweeps: dict[str, SweepRun] = {}
        self._left_sweeps: dict[str, SweepRun] = {}
        self._last_number = 0
        self._pending: dict[int, Entry] = {}
        self._replies: dict[int, Any] = {}
        self._ids: dict[str, str] = {}
        self._orphans: list[Path] = []
        self._absence = Absence(self._store, folder, log, say)
        self._is_behind = False
        self._refused = 0
        self._refused_registration = False
        self._restarts = 0
        self._process = RecorderProcess(RecorderSettings(uri, artifact_root, this_process(), own, log))
        # runs before multiprocessing terminates its daemons at exit: the process must finish first
        Finalize(self, self._process.stop, exitpriority=0)
        try:
            self._call(READY, seconds=self._start_seconds)
        except StoreAway as error:
            self._absence.begin(error)

    @property
    def process(self) -> int:
        """The id of the recorder process."""
        return self._process.id

    @property
    def refused_registration(self) -> bool:
        """See `Tracker.refused_registration`; also of a registration that an earlier sweep left."""
        return self._refused_registration

    def open_sweep(self, sweep: SweepRun) -> str:
        """See `Tracker.open_sweep`; records what earlier sweeps left first. The id is provisional if the store is away."""
        self._record_orphans(sweep)
        own = provisional_id()
        if not self._absence.is_now:
            try:
                run_id = str(self._call("open_sweep", sweep, own, seconds=self._start_seconds))
            except StoreAway as error:
                self._absence.begin(error)
            else:
                self._begin(run_id, sweep)
                return run_id
        self._begin(own, sweep)
        self._enqueue({"do": "open_sweep", "run": own, "again": True, **described(sweep)}, sweep=sweep)
        return own

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """See `Tracker.resume_sweep`; records what earlier sweeps left first."""
        self._record_orphans(sweep)
        if not self._settled():
            raise StoreAway(f"tracking.uri: {self._store} does not answer")
        self._ids[run_id] = str(self._call("resume_sweep", run_id, sweep) or run_id)
        self._begin(run_id, sweep)

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """See `Tracker.open_trial`; waits briefly for the store, and not at all while it is away or behind since an earlier wait."""
        own = provisional_id()
        self.poll()
        known = self._ids.get(parent, parent)
        number = self._enqueue({"do": "open_trial", "run": own, "parent": known, "spec": to_json(spec)})
        end = time.monotonic() + _OPEN_SECONDS
        while number in self._pending and not self._absence.is_now and not self._is_behind:
            self._receive(0.25)
            self._is_behind = number in self._pending and time.monotonic() > end
        return self._ids.get(own, own)

    def known_id(self, run_id: str) -> str | None:
        """See `Tracker.known_id`."""
        self.poll()
        known = self._ids.get(run_id, run_id)
        return None if is_provisional(known) else known

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`; returns at once."""
        self.poll()
        known = self._ids.get(run_id, run_id)
        self._enqueue(
            {"do": "close_trial", "run": known, "result": to_json(result), "files": [str(file) for file in files]}
        )
        self.poll()

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep` and `settle`."""
        self._enqueue(
            {
                "do": "close_sweep",
                "run": self._ids.get(run_id, run_id),
                "status": status.value,
                **asdict(replace(summary, when=summary.when or time.time())),  # one time, however often it is tried
                "files": [str(file) for file in files],
            }
        )
        return self.settle()

    def end_left(self, sweep: SweepRun) -> bool:
        """See `Tracker.end_left`. What follows without a run is kept in a journal, too."""
        self._record_orphans(sweep)
        self._begin_journal(_NO_RUN, sweep)
        if self._absence.is_now:
            return False
        try:
            self._call("end_left", sweep, seconds=self._start_seconds)
        except StoreAway as error:
            self._absence.begin(error)
            return False
        return True

    def register(self, run_id: str | None, champion: Champion) -> None:
        """See `Tracker.register`; returns at once."""
        known = _NO_RUN if run_id is None else self._ids.get(run_id, run_id)
        self._enqueue({"do": "register", "run": known, "champion": asdict(champion)})

    def release(self, model: str, alias: str) -> None:
        """See `Tracker.release`; returns at once."""
        self._enqueue({"do": "release", "run": _NO_RUN, "model": model, "alias": alias})

    def link(self, run_id: str) -> str | None:
        """See `Tracker.link`; None while the store is away."""
        known = self._ids.get(run_id, run_id)
        if is_provisional(known):
            return None
        try:
            link = self._call("link", known, seconds=_OPEN_SECONDS)
        except StoreAway:
            return None
        return None if link is None else str(link)

    def poll(self) -> None:
        """See `Tracker.poll`."""
        self._receive(0.0)

    def settle(self) -> bool:
        """Waits until the store has every record: half a minute if it is away, longer if it is slow.

        Returns whether it has.
        """
        if not self._settled():
            self._say(
                f"MLflow: {self._store} has not taken {len(self._pending)} record(s); they are kept in {self._absence.kept_in}, and "
                "the next run of the same command records them"
            )
        return not self._pending

    def _settled(self) -> bool:
        last, left, said_as_away = time.monotonic(), len(self._pending), None
        while self._pending and time.monotonic() - last < (_AWAY_SECONDS if self._absence.is_now else _SLOW_SECONDS):
            self._receive(0.25)
            if len(self._pending) < left:
                last, left = time.monotonic(), len(self._pending)
            elif said_as_away is not self._absence.is_now and time.monotonic() - last > _QUIET_SECONDS:
                said_as_away = self._absence.is_now
                limit = (
                    f" for up to {_AWAY_SECONDS:g} s; the next run records what is left" if self._absence.is_now else ""
                )
                self._say(f"MLflow: waiting for {self._store} to take {left} record(s){limit}")
        return not self._pending

    def _begin(self, run_id: str, sweep: SweepRun) -> None:
        self._sweeps[run_id] = sweep
        self._begin_journal(run_id, sweep)

    def _begin_journal(self, run_id: str, sweep: SweepRun) -> None:
        if self._journal is None:
            data_sets = [asdict(each) for each in sweep.data_sets]
            common = {"sweep": run_id, "params": dict(sweep.params), "data_sets": data_sets}
            self._journal = Journal(self._journals, sweep.study, common)

    def _record_orphans(self, sweep: SweepRun) -> None:
        """Records the journals of sweeps that are gone; a store that is away gets them before what follows."""
        for orphan in orphaned_journals(self._journals, sweep.study, alone=sweep.alone):
            self._say(f"MLflow: recording what an earlier run could not ({len(orphan.entries)} record(s))")
            known = SweepRun(
                sweep.study,
                "",
                params=orphan.head.get("params", {}),
                known_results=sweep.known_results,
                data_sets=[DataSet(**each) for each in orphan.head.get("data_sets", [])],
            )
            run = str(orphan.head.get("sweep"))
            if run != _NO_RUN:
                self._left_sweeps[run] = known
            if run != _NO_RUN and not any(entry.get("do") == "open_sweep" for entry in orphan.entries):
                # if the run is gone, each of its records is refused with a message
                self._enqueue({"do": "resume_sweep", "run": run}, in_journal=True, sweep=known)
            for entry in orphan.entries:
                opens = entry.get("do") == "open_sweep"
                self._enqueue(
                    {**entry, "again": True}, in_journal=True, sweep=described_sweep(entry, known) if opens else None
                )
            self._orphans.append(orphan.file)
        if self._pending and not self._absence.is_now:
            self._settled()

    def _enqueue(self, entry: Entry, *, in_journal: bool = False, sweep: SweepRun | None = None) -> int:
        """Sends an entry without waiting; returns its number.

        Args:
            in_journal: whether a journal has the entry already.
            sweep: what the process needs beside the entry, and no journal holds.
        """
        self._last_number += 1
        sent = entry if sweep is None else {**entry, "sweep": sweep}
        self._pending[self._last_number] = sent
        if self._journal is not None and not in_journal:
            try:
                self._journal.append(entry)
            except OSError as error:
                self._say(f"records that MLflow has not taken yet cannot be kept on disk: {error}")
                self._journal = None
        if not self._process.send((self._last_number, sent)):
            self._restart()
        return self._last_number

    def _call(self, method: str, *arguments: Any, seconds: float | None = None) -> Any:
        """Calls a method of the tracker in the process, and waits for the result.

        Raises:
            StoreAway: the store is away, or has not answered within `seconds`; it may do what was asked later.
        """
        end = None if seconds is None else time.monotonic() + seconds
        self._last_number += 1
        number = self._last_number
        if not self._process.send((number, (method, arguments))):
            raise _process_ended()
        while number not in self._replies:
            restarts = self._restarts
            self._receive(1.0)
            if self._restarts > restarts:
                raise _process_ended()
            if end is not None and time.monotonic() > end and number not in self._replies:
                raise StoreAway(f"tracking.uri: {self._store} has not answered within {seconds:g} s")
        reply = self._replies.pop(number)
        if isinstance(reply, RemoteError):
            raise reply.error()
        return reply

    def _receive(self, seconds: float) -> None:
        """Handles all messages of the process, waiting up to `seconds` for the first."""
        try:
            while (connection := self._process.connection).poll(seconds):
                seconds = 0.0
                number, reply = connection.recv()
                if number in self._pending:
                    self._acknowledge(number, reply)
                elif number > 0:
                    self._replies[number] = reply
                elif number == STORE_AWAY:
                    self._absence.begin()
        except (EOFError, OSError):
            self._restart()

    def _acknowledge(self, number: int, reply: Any) -> None:
        entry = self._pending.pop(number)
        self._absence.end()
        if isinstance(reply, RemoteError):
            self._refused += 1
            self._refused_registration |= entry["do"] in _REGISTRATIONS
            if self._refused <= _SHOWN_REFUSALS:
                self._say(f"MLflow did not take a record ({entry['do']}): {reply.text.splitlines()[0]}")
        elif isinstance(reply, str) and is_provisional(entry["run"]):
            self._ids[entry["run"]] = reply
        if not self._pending:
            self._is_behind = False
            if self._journal is not None:
                self._journal.clear()
            for file in self._orphans:
                file.unlink(missing_ok=True)
            self._orphans.clear()
            self._left_sweeps.clear()

    def _restart(self) -> None:
        """Replaces a process that was killed, and sends it all that is not recorded yet, of earlier sweeps too.

        Raises:
            EnvironmentLacks: it was killed too often.
        """
        self._restarts += 1
        known_sweeps = {**self._left_sweeps, **self._sweeps}
        if self._restarts > _MAX_RESTARTS or not (known_sweeps or self._journal):
            raise _process_ended()
        self._say("MLflow: the recorder process was killed; a new one replaces it")
        self._process.restart()
        for run_id, sweep in known_sweeps.items():
            self._process.send((NO_REPLY, {"do": "resume_sweep", "run": run_id, "sweep": sweep}))
        for number, entry in self._pending.items():
            known = {**entry, "run": self._ids.get(entry["run"], entry["run"]), "again": True}
            self._process.send((number, known))


def _process_ended() -> EnvironmentLacks:
    return EnvironmentLacks(
        "the process that records in MLflow has ended: check that the disk is not full and that no limit on file sizes is set "
        "(`ulimit -f`); its output is in mlruns/logs. Run the same command again to resume"
    )
