"""MLflow in a separate process: a trial is recorded while the sweep asks for the next one.

MLflow takes tens of milliseconds of Python per trial, which threads cannot run in parallel. The process handles requests in
order; if the sweep is killed, it finishes them and ends. A store that goes away, or is away when a sweep begins, does not stop the sweep
(`sweep.tracking.record_queue`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from sweep.records import Status, TrialResult, TrialSpec, to_json
from sweep.store.locks import this_process
from sweep.tracking.address import address_of
from sweep.tracking.away import StoreAway
from sweep.tracking.journal import described
from sweep.tracking.left_journals import NO_RUN
from sweep.tracking.port import Champion, Summary, SweepRun, is_provisional, provisional_id
from sweep.tracking.record_queue import RecordQueue
from sweep.tracking.recorder_process import READY, RecorderSettings

_OPEN_SECONDS = 15.0
"""The longest wait for the id of a trial's run; the store can hang, and the trial is training already."""
_START_SECONDS = 60.0
"""The longest wait for the run of a sweep, while its workers load; a server that is slower gets it later."""


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
        # making the tables of a file may take long, on a machine that is busy
        self._start_seconds = _START_SECONDS if address_of(uri).endpoint is not None else None
        self._queue = RecordQueue(RecorderSettings(uri, artifact_root, this_process(), own, log), folder, say)
        try:
            self._queue.call(READY, seconds=self._start_seconds)
        except StoreAway as error:
            self._queue.absence.begin(error)

    @property
    def process(self) -> int:
        """The id of the recorder process."""
        return self._queue.process

    @property
    def refused_registration(self) -> bool:
        """See `Tracker.refused_registration`; also of a registration that an earlier sweep left."""
        return self._queue.refused_registration

    def open_sweep(self, sweep: SweepRun) -> str:
        """See `Tracker.open_sweep`; records what earlier sweeps left first. The id is provisional if the store is away."""
        self._queue.add_left(sweep)
        own = provisional_id()
        if not self._queue.absence.is_now:
            try:
                run_id: str = self._queue.call(
                    "open_sweep", sweep, own, seconds=self._start_seconds, once_more={"again": True}
                )
            except StoreAway as error:
                self._queue.absence.begin(error)
            else:
                self._queue.begin(run_id, sweep)
                return run_id
        self._queue.begin(own, sweep)
        self._queue.add({"do": "open_sweep", "run": own, "again": True, **described(sweep)}, sweep=sweep)
        return own

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> None:
        """See `Tracker.resume_sweep`; records what earlier sweeps left first."""
        self._queue.add_left(sweep)
        if not self._queue.wait_for_all():
            raise StoreAway(f"tracking.uri: {self._queue.store} does not answer")
        self._queue.know(run_id, str(self._queue.call("resume_sweep", run_id, sweep) or run_id))
        self._queue.begin(run_id, sweep)

    def open_trial(self, parent: str, spec: TrialSpec) -> str:
        """See `Tracker.open_trial`; waits briefly for the store, and not at all while it is away or behind since an earlier wait."""
        own = provisional_id()
        self.poll()
        known = self._queue.known_as(parent)
        number = self._queue.add({"do": "open_trial", "run": own, "parent": known, "spec": to_json(spec)})
        self._queue.wait_for(number, _OPEN_SECONDS)
        return self._queue.known_as(own)

    def known_id(self, run_id: str) -> str | None:
        """See `Tracker.known_id`."""
        self.poll()
        known = self._queue.known_as(run_id)
        return None if is_provisional(known) else known

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`; returns at once."""
        self.poll()
        known = self._queue.known_as(run_id)
        self._queue.add(
            {"do": "close_trial", "run": known, "result": to_json(result), "files": [str(file) for file in files]}
        )
        self.poll()

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep` and `settle`."""
        self._queue.add(
            {
                "do": "close_sweep",
                "run": self._queue.known_as(run_id),
                "status": status.value,
                **asdict(replace(summary, when=summary.when or time.time())),  # one time, however often it is tried
                "files": [str(file) for file in files],
            }
        )
        return self.settle()

    def end_left(self, sweep: SweepRun) -> bool:
        """See `Tracker.end_left`. What follows without a run is kept in a journal, too."""
        self._queue.add_left(sweep)
        self._queue.begin_journal(NO_RUN, sweep)
        if self._queue.absence.is_now:
            return False
        try:
            self._queue.call("end_left", sweep, seconds=self._start_seconds)
        except StoreAway as error:
            self._queue.absence.begin(error)
            return False
        return True

    def register(self, run_id: str | None, champion: Champion) -> None:
        """See `Tracker.register`; returns at once."""
        known = NO_RUN if run_id is None else self._queue.known_as(run_id)
        self._queue.add({"do": "register", "run": known, "champion": asdict(champion)})

    def release(self, model: str, alias: str) -> None:
        """See `Tracker.release`; returns at once."""
        self._queue.add({"do": "release", "run": NO_RUN, "model": model, "alias": alias})

    def link(self, run_id: str) -> str | None:
        """See `Tracker.link`; None while the store is away."""
        known = self._queue.known_as(run_id)
        if is_provisional(known):
            return None
        try:
            link = self._queue.call("link", known, seconds=_OPEN_SECONDS)
        except StoreAway:
            return None
        return None if link is None else str(link)

    def poll(self) -> None:
        """See `Tracker.poll`."""
        self._queue.receive(0.0)

    def settle(self) -> bool:
        """Waits until the store has every record: half a minute if it is away, longer if it is slow.

        Returns whether it has.
        """
        return self._queue.settle()
