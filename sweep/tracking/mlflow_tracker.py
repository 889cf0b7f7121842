"""Recording in MLflow. Importing this module imports MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sweep.tracking.mlflow_client import open_client  # first: it sets what MLflow reads on import

# isort: split
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.locks import this_process
from sweep.tracking import names
from sweep.tracking.address import SERVERS, address_of
from sweep.tracking.champion_model import register, release
from sweep.tracking.experiment import NEW_EXPERIMENT, describe
from sweep.tracking.left_runs import LeftRuns
from sweep.tracking.port import (
    Champion,
    RecordRefused,
    Summary,
    SweepRun,
    is_provisional,
    owner_tags,
    seen_by,
)
from sweep.tracking.run_writer import RunWriter
from sweep.tracking.store_errors import explained, may_pass
from sweep.tracking.system_load import SystemLoad


class MlflowTracker:
    """Records sweeps in an MLflow store: a SQLite file, a tracking server, or another database.

    Args:
        uri: the store's address, as in `tracking.uri`.
        artifact_root: the folder for artifacts, with one subfolder per new experiment; None to let the store choose. A
            tracking server always chooses.
        owner: the process that sweeps, as named by `sweep.store.locks.this_process`; None for this one.

    Raises:
        ConfigurationError: MLflow has no store of that kind.
        EnvironmentLacks: the store cannot be reached, opened or created.
    """

    def __init__(self, uri: str, artifact_root: Path | None, owner: str | None = None) -> None:
        self._owner = owner or this_process()
        self._address = address_of(uri)
        if self._address.kind == "memory":
            raise ConfigurationError("tracking.uri: memory:// is not an MLflow store")
        self._artifact_root = None if self._address.kind in SERVERS else artifact_root
        self._sweeps: dict[str, tuple[str, SweepRun]] = {}
        self._load = SystemLoad(self._address.uri)
        self._client = open_client(self._address)
        self._writer = RunWriter(self._client, self._address)
        self._left = LeftRuns(self._client, self._owner, self._writer)

    @property
    def refused_registration(self) -> bool:
        """See `Tracker.refused_registration`: errors are raised at once."""
        return False

    def open_sweep(self, sweep: SweepRun, own: str | None = None, *, again: bool = False) -> str:
        """See `Tracker.open_sweep`.

        Args:
            own, again: see `open_trial`.
        """
        with explained(self._address):
            experiment = self._experiment(sweep.study)
            known = self._left.known_as(experiment, own) if again else None
            self._left.end(experiment, sweep, but=None if known is None else own)
            tags = names.sweep_tags(sweep.study, sweep.command, sweep.tags) | owner_tags(self._owner)
            params = names.valid_params({**sweep.params, **sweep.declared})
            run_id = self._writer.open(experiment, sweep.study, tags, params, sweep.data_sets, own=own, known=known)
            self._client.log_text(run_id, sweep.config_yaml, names.CONFIG_FILE)
        self._sweeps[run_id] = (experiment, sweep)
        self._load.begin(run_id, asked=sweep.system_metrics)
        return run_id

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> str:
        """See `Tracker.resume_sweep`; returns the run's id in the store, which a provisional one is not."""
        with explained(self._address):
            if is_provisional(run_id):
                known = self._left.known_as(self._experiment(sweep.study), run_id)
                if known is None:
                    raise RecordRefused(f"the sweep's run '{run_id}' does not exist")
                run_id = known
            info = self._client.get_run(run_id).info
        self._sweeps[run_id] = (str(info.experiment_id), sweep)
        self._load.begin(run_id, asked=sweep.system_metrics and info.status == names.OPEN)
        return run_id

    def open_trial(self, parent: str, spec: TrialSpec, own: str | None = None, *, again: bool = False) -> str:
        """See `Tracker.open_trial`.

        Args:
            own: the provisional id.
            again: whether the run can exist already, in part or whole; if a run has that provisional id, it is completed.
        """
        if parent not in self._sweeps:
            raise RecordRefused(f"the sweep's run '{parent}' does not exist any more")
        experiment, sweep = self._sweeps[parent]
        with explained(self._address):
            known = self._left.known_as(experiment, own) if again else None
            params = names.trial_params(sweep.params, spec)
            tags = names.trial_tags(parent, spec) | owner_tags(self._owner)
            inputs, metrics = seen_by(spec, sweep.data_sets), names.started_with(spec)
            return self._writer.open(experiment, spec.name, tags, params, inputs, metrics, own=own, known=known)

    def known_id(self, run_id: str) -> str:
        """See `Tracker.known_id`."""
        return run_id

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`."""
        self._writer.close_trial(run_id, result, files)

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep`."""
        if run_id not in self._sweeps:
            raise RecordRefused(f"the sweep's run '{run_id}' does not exist any more")
        experiment, sweep = self._sweeps[run_id]
        with explained(self._address):
            self._left.end_trials(experiment, run_id, sweep.known_results)
        self._load.end(run_id)
        points = names.summary_points(summary.metrics, summary.series)
        tags = names.valid_tags({**summary.tags, names.STATUS: status.value})
        self._writer.close(run_id, status, points, summary.when or time.time(), tags, files)
        with explained(self._address):
            describe(self._client, experiment, run_id, summary)
        return True

    def end_left(self, sweep: SweepRun) -> bool:
        """See `Tracker.end_left`."""
        with explained(self._address):
            self._left.end(self._experiment(sweep.study), sweep)
        return True

    def register(self, run_id: str | None, champion: Champion) -> None:
        """See `Tracker.register`."""
        if run_id is not None and run_id not in self._sweeps:
            raise RecordRefused(f"the sweep's run '{run_id}' does not exist any more")
        with self._refused_for_good(f"the adapter of {champion.name} is not registered"):
            experiment = self._experiment(champion.tags[names.STUDY]) if run_id is None else self._sweeps[run_id][0]
            register(self._client, experiment, run_id, champion, on_server=self._address.kind in SERVERS)

    def release(self, model: str, alias: str) -> None:
        """See `Tracker.release`."""
        with self._refused_for_good(f"the alias {alias} of {model} is not removed"):
            release(self._client, model, alias)

    @contextmanager
    def _refused_for_good(self, what: str) -> Iterator[None]:
        """What a store refuses for good must not hold up the records behind it."""
        try:
            with explained(self._address):
                yield
        except EnvironmentLacks as error:
            if isinstance(error, RecordRefused) or may_pass(self._address, error.__context__):
                raise
            raise RecordRefused(f"{what}: {error}") from None

    def poll(self) -> None:
        """See `Tracker.poll`; there are no messages, since errors are raised at once."""

    def settle(self) -> bool:
        """See `Tracker.settle`; nothing waits here."""
        return True

    def link(self, run_id: str) -> str | None:
        """See `Tracker.link`."""
        with explained(self._address):
            experiment = self._client.get_run(run_id).info.experiment_id
        page = f"#/experiments/{experiment}/runs/{run_id}"
        return f"{self._address.shown.rstrip('/')}/{page}" if self._address.kind in SERVERS else page

    def _experiment(self, name: str) -> str:
        """The id of the experiment; it is created if it does not exist and restored if it was deleted."""
        known = self._client.get_experiment_by_name(name)
        if known is None:
            location = None if self._artifact_root is None else (self._artifact_root / name).absolute().as_uri()
            return str(self._client.create_experiment(name, artifact_location=location, tags=dict(NEW_EXPERIMENT)))
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)
