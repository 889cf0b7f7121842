"""MLflow in a process of its own: what came of a trial is recorded while the sweep asks for the next one.

MLflow takes tens of milliseconds of Python for each trial, which threads could not share. So the tracker is in another process,
which does what it is told in the order in which it is told. If the sweep is killed, it still does what it was told and ends.

A store that goes away in a run stops nobody. What is told is written to a journal (`sweep.tracking.journal`) until the store
has it; the process tries again every few seconds, and what is left at the end is recorded by the next sweep. A trial that
begins meanwhile has an id of our own, `port.later_id`. If the process itself is killed, another one takes its place.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec, to_json
from sweep.store.locks import this_process
from sweep.tracking.address import address_of
from sweep.tracking.journal import Entry, Journal, Place, left_by_others
from sweep.tracking.port import Summary, SweepRun, later_id
from sweep.tracking.recording_process import AWAY, NOT_ASKED, READY, Failed, Start, record

NAME = "goldilocks-recorder"

_OPEN_PATIENCE = 15.0
"""Seconds to wait for the id of a trial's run; the store may be hanging, and the trial is in training already."""
_LAST_PATIENCE = 30.0
"""Seconds to wait at the end of a sweep for a store that is away."""
_SLOW_PATIENCE = 600.0
"""Seconds to wait for a store that is at work, for example on the files of a large adapter."""
_WORDLESS = 5.0
"""Seconds to wait at the end of a sweep without a word."""
_RESTARTS = 5
"""A process that records was killed as often as that: something is wrong with this machine."""
_LET_GO = 10.0
"""Seconds that the process has to end after the sweep."""
_REFUSALS_SAID = 3


class Recorder:
    """`MlflowTracker` in another process; the same runs.

    Args:
        uri: see `MlflowTracker`.
        artifact_root: see `MlflowTracker`.
        folder: where what the store has not got yet is kept, see `sweep.tracking.journal`.
        own: see `Start`.
        log: see `Start`.
        say: told what a person should know, a line each.

    Raises:
        ConfigurationError, EnvironmentLacks: as `MlflowTracker`; later only `open_sweep`, `resume_sweep` and `link` raise them.
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
        self._store = address_of(uri).shown
        self._place = Place(folder, self._store)
        self._start = Start(uri, artifact_root, this_process(), own, log)
        self._say = say
        self._journal: Journal | None = None
        self._sweeps: dict[str, SweepRun] = {}
        self._told = 0
        self._pending: dict[int, Entry] = {}
        self._answers: dict[int, Any] = {}
        self._ids: dict[str, str] = {}
        self._left: list[Path] = []
        self._away = False
        self._refused = 0
        self._restarts = 0
        self._process = _Process(self._start)
        # at exit before multiprocessing would end the process, which is to finish first
        Finalize(self, self._process.let_go, exitpriority=0)
        self._ask(READY)

    @property
    def process(self) -> int:
        """The id of the process that records."""
        return self._process.id

    def open_sweep(self, sweep: SweepRun) -> str:
        """See `Tracker.open_sweep`; what earlier sweeps left is recorded before."""
        self._take_over(sweep)
        run_id = str(self._ask("open_sweep", sweep))
        self._go_on(run_id, sweep)
        return run_id

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """See `Tracker.resume_sweep`; what earlier sweeps left is recorded before."""
        self._take_over(sweep)
        self._ask("resume_sweep", run_id, sweep)
        self._go_on(run_id, sweep)

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """See `Tracker.open_trial`; waits for the store a moment, and not at all while it is away."""
        own = later_id()
        number = self._tell({"do": "open_trial", "run": own, "parent": parent, "spec": to_json(spec)})
        began = time.monotonic()
        while number in self._pending and not self._away and time.monotonic() - began < _OPEN_PATIENCE:
            self._hear(0.25)
        return self._ids.get(own, own)

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`; comes back at once."""
        known = self._ids.get(run_id, run_id)
        self._tell(
            {"do": "close_trial", "run": known, "result": to_json(result), "files": [str(file) for file in files]}
        )
        self.heed()

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep` and `settle`."""
        self._tell(
            {
                "do": "close_sweep",
                "run": run_id,
                "status": status.value,
                "metrics": dict(summary.metrics),
                "tags": dict(summary.tags),
                "files": [str(file) for file in files],
            }
        )
        return self.settle()

    def link(self, run_id: str) -> str | None:
        """See `Tracker.link`."""
        found = self._ask("link", run_id)
        return None if found is None else str(found)

    def heed(self) -> None:
        """See `Tracker.heed`."""
        self._hear(0.0)

    def settle(self) -> bool:
        """Waits until the store has all that was told; half a minute if it is away, longer if it is only slow.

        Returns whether it has.
        """
        last, left, said_as_away = time.monotonic(), len(self._pending), None
        while self._pending and time.monotonic() - last < (_LAST_PATIENCE if self._away else _SLOW_PATIENCE):
            self._hear(0.25)
            if len(self._pending) < left:
                last, left = time.monotonic(), len(self._pending)
            elif said_as_away is not self._away and time.monotonic() - last > _WORDLESS:
                said_as_away = self._away
                limit = f" for up to {_LAST_PATIENCE:g} s; the next run records what is left" if self._away else ""
                self._say(f"MLflow: waiting for {self._store} to take {left} record(s){limit}")
        if self._pending:
            self._say(
                f"MLflow: {self._store} has not taken {len(self._pending)} record(s); they are kept in {self._file()}, and the "
                "next run of the same command records them"
            )
        return not self._pending

    def _go_on(self, run_id: str, sweep: SweepRun) -> None:
        self._sweeps[run_id] = sweep
        if self._journal is None:
            common = {"sweep": run_id, "params": dict(sweep.params)}
            self._journal = Journal(self._place, sweep.study, common)

    def _take_over(self, sweep: SweepRun) -> None:
        """Tells what sweeps that are gone have left, and waits until the store has it."""
        for left in left_by_others(self._place, sweep.study, alone=sweep.alone):
            self._say(f"MLflow: recording what an earlier run could not ({len(left.entries)} record(s))")
            earlier = SweepRun(sweep.study, "", params=left.head.get("params", {}), told=sweep.told)
            with suppress(EnvironmentLacks):  # then its records are refused one by one, and said so
                self._ask("resume_sweep", str(left.head.get("sweep")), earlier)
            for entry in left.entries:
                self._tell({**entry, "again": True}, kept=True)
            self._left.append(left.file)
        if not self.settle():
            raise EnvironmentLacks(f"tracking.uri: {self._store} does not answer")

    def _tell(self, entry: Entry, *, kept: bool = False) -> int:
        """Has something done that need not be done now; returns its number."""
        self._told += 1
        self._pending[self._told] = entry
        if self._journal is not None and not kept:
            try:
                self._journal.append(entry)
            except OSError as error:
                self._say(f"what MLflow has not got yet cannot be kept on disk: {error}")
                self._journal = None
        if not self._process.send((self._told, entry)):
            self._restart()
        return self._told

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Has something done, and waits for it."""
        self._told += 1
        number = self._told
        if not self._process.send((number, (method, arguments))):
            raise _ended()
        while number not in self._answers:
            restarts = self._restarts
            self._hear(1.0)
            if self._restarts > restarts:
                raise _ended()
        answer = self._answers.pop(number)
        if isinstance(answer, Failed):
            raise answer.error()
        return answer

    def _hear(self, seconds: float) -> None:
        """Takes note of what the process says, waiting at most so long for the first word."""
        try:
            while (connection := self._process.connection).poll(seconds):
                seconds = 0.0
                number, answer = connection.recv()
                if number in self._pending:
                    self._heard(number, answer)
                elif number > 0:
                    self._answers[number] = answer
                elif number == AWAY:
                    self._went_away()
        except (EOFError, OSError):
            self._restart()

    def _heard(self, number: int, answer: Any) -> None:
        entry = self._pending.pop(number)
        self._came_back()
        if isinstance(answer, Failed):
            self._refused += 1
            if self._refused <= _REFUSALS_SAID:
                self._say(f"MLflow did not take a record ({entry['do']}): {answer.text.splitlines()[0]}")
        elif entry["do"] == "open_trial":
            self._ids[entry["run"]] = str(answer)
        if not self._pending:
            if self._journal is not None:
                self._journal.clear()
            for file in self._left:
                file.unlink(missing_ok=True)
            self._left.clear()

    def _went_away(self) -> None:
        if not self._away:
            more = f" (more in {_shown(self._start.log)})" if self._start.log else ""
            self._say(
                f"MLflow: {self._store} takes no records{more}; the study goes on, they are kept in {self._file()} until it does"
            )
        self._away = True

    def _came_back(self) -> None:
        if self._away:
            self._say(f"MLflow: {self._store} takes records again, and gets what was kept")
        self._away = False

    def _file(self) -> str:
        return _shown(self._place.folder)

    def _restart(self) -> None:
        """Another process takes the place of one that was killed, and is told all that is not known to be done.

        Raises:
            EnvironmentLacks: it was killed too often.
        """
        self._restarts += 1
        if self._restarts > _RESTARTS or not self._sweeps:
            raise _ended()
        self._say("MLflow: the process that records was killed; another one takes its place")
        self._process.replace(self._start)
        for run_id, sweep in self._sweeps.items():
            self._process.send((NOT_ASKED, {"do": "resume_sweep", "run": run_id, "sweep": sweep}))
        for number, entry in self._pending.items():
            known = {**entry, "run": self._ids.get(entry["run"], entry["run"]), "again": True}
            self._process.send((number, known))


class _Process:
    """The process that records, and the connection to it."""

    def __init__(self, start: Start) -> None:
        self._begin(start)

    def _begin(self, start: Start) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=record, args=(theirs, start), name=NAME, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def id(self) -> int:
        return self._process.pid or 0

    def send(self, message: Any) -> bool:
        """Returns whether there is a process to send to."""
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def replace(self, start: Start) -> None:
        """Begins another one."""
        self.let_go()
        self._begin(start)

    def let_go(self) -> None:
        """The process does what it was told and ends; one that hangs is killed, and what it has not done is in the journal."""
        self.connection.close()
        self._process.join(_LET_GO)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _shown(path: Path) -> str:
    """Seen from where the person stands, if it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _ended() -> EnvironmentLacks:
    return EnvironmentLacks(
        "the process that records in MLflow has ended: see that the disk is not full and that no limit on the size of files is set "
        "(`ulimit -f`); what it printed is in mlruns/logs. Run the same command again, it goes on from here"
    )
