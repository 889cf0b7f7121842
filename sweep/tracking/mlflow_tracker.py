"""Recording in MLflow. Importing this module imports MLflow.

Every call names its store: MLflow's global tracking URI, active run and experiment are neither read nor set.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.request import getproxies, proxy_bypass

# MLflow reads these on import; by default it logs every migration of a new database and sends usage data.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# By default it prints the address of each run, password included.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# By default it retries a server that is gone for minutes; `sweep.tracking.recorder` keeps records and retries itself. A request that
# MLflow repeats by itself can make a run twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunInfo, RunTag
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import Status, TrialResult, TrialSpec
from sweep.store.locks import held, this_process
from sweep.tracking import names
from sweep.tracking.address import SERVERS, Address, address_of
from sweep.tracking.champion_model import register, release
from sweep.tracking.data_sets import data_set_input
from sweep.tracking.experiment import NEW_EXPERIMENT, describe
from sweep.tracking.names import Point
from sweep.tracking.port import (
    Champion,
    DataSet,
    KnownResults,
    RecordRefused,
    Summary,
    SweepRun,
    is_leftover,
    is_provisional,
    known_result,
    owner_tags,
    seen_by,
)
from sweep.tracking.store_errors import explained, may_pass
from sweep.tracking.system_load import SystemLoad

_LOCK_SECONDS = 120.0
"""The longest wait for another process that opens the same database and may be creating its tables."""

_PATIENCE = 10.0
"""Seconds to wait for an answer when a store is opened."""


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
        self._artifacts: dict[str, ArtifactRepository] = {}
        self._opened: dict[str, str] = {}  # by provisional id
        self._load = SystemLoad(self._address.uri)
        with explained(self._address), ExitStack() as stack:
            if database := self._address.database:
                database.parent.mkdir(parents=True, exist_ok=True)
                # two studies that start together must not both create the tables
                lock = Path(f"{database}.lock")
                stack.enter_context(held(lock, "another process opens MLflow's database", seconds=_LOCK_SECONDS))
            check_reachable(self._address)
            self._client = MlflowClient(tracking_uri=self._address.uri, registry_uri=self._address.uri)

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
            known = self._known_as(experiment, own) if again else None
            self._end_left(experiment, sweep, but=None if known is None else own)
            tags = names.sweep_tags(sweep.study, sweep.command, sweep.tags) | owner_tags(self._owner)
            params = names.valid_params({**sweep.params, **sweep.declared})
            run_id = self._open(experiment, sweep.study, tags, params, sweep.data_sets, own=own, known=known)
            self._client.log_text(run_id, sweep.config_yaml, names.CONFIG_FILE)
        self._sweeps[run_id] = (experiment, sweep)
        self._load.begin(run_id, asked=sweep.system_metrics)
        return run_id

    def resume_sweep(self, run_id: str, sweep: SweepRun) -> str:
        """See `Tracker.resume_sweep`; returns the run's id in the store, which a provisional one is not."""
        with explained(self._address):
            if is_provisional(run_id):
                known = self._known_as(self._experiment(sweep.study), run_id)
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
            known = self._known_as(experiment, own) if again else None
            params = names.trial_params(sweep.params, spec)
            tags = names.trial_tags(parent, spec) | owner_tags(self._owner)
            inputs, metrics = seen_by(spec, sweep.data_sets), names.started_with(spec)
            return self._open(experiment, spec.name, tags, params, inputs, metrics, own=own, known=known)

    def known_id(self, run_id: str) -> str:
        """See `Tracker.known_id`."""
        return run_id

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`."""
        points = [Point(name, value, 0) for name, value in names.metrics_of(result).items()]
        points += names.points_of(result)
        # the time of the trial's end: logging a result again, after a crash between log and end, adds nothing
        when = result.started + result.seconds if result.started > 0 else time.time()
        self._close(run_id, result.status, points, when, names.closing_tags(result), files)

    def close_sweep(self, run_id: str, status: Status, summary: Summary, files: Sequence[Path]) -> bool:
        """See `Tracker.close_sweep`."""
        if run_id not in self._sweeps:
            raise RecordRefused(f"the sweep's run '{run_id}' does not exist any more")
        experiment, sweep = self._sweeps[run_id]
        with explained(self._address):
            self._end_running(experiment, lambda tags: tags.get(names.PARENT) == run_id, sweep.known_results)
        self._load.end(run_id)
        points = names.summary_points(summary.metrics, summary.series)
        tags = names.valid_tags({**summary.tags, names.STATUS: status.value})
        self._close(run_id, status, points, summary.when or time.time(), tags, files)
        with explained(self._address):
            describe(self._client, experiment, run_id, summary)
        return True

    def end_left(self, sweep: SweepRun) -> bool:
        """See `Tracker.end_left`."""
        with explained(self._address):
            self._end_left(self._experiment(sweep.study), sweep)
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

    def _end_left(self, experiment: str, sweep: SweepRun, *, but: str | None = None) -> None:
        """Ends the runs of the study that killed sweeps left running.

        Args:
            but: the provisional id of a run that goes on.
        """

        def is_left(tags: Mapping[str, str]) -> bool:
            return (
                tags.get(names.STUDY) == sweep.study
                and is_leftover(tags, self._owner, alone=sweep.alone)
                and (but is None or tags.get(names.RUN) != but)
            )

        self._end_running(experiment, is_left, sweep.known_results)

    def _end_running(
        self,
        experiment: str,
        chosen: Callable[[Mapping[str, str]], bool],
        known_results: KnownResults,
    ) -> None:
        """Ends the experiment's running runs that a sweep started and whose tags are chosen."""
        for run in self._running(experiment):
            if names.STUDY not in run.data.tags or not chosen(run.data.tags):
                continue
            if self._is_double(experiment, run):
                self._client.delete_run(run.info.run_id)
            elif known := known_result(known_results, run.info.run_id, run.data.tags):
                self.close_trial(run.info.run_id, *known)
            else:
                self._client.set_tag(run.info.run_id, names.STATUS, Status.INTERRUPTED.value)
                self._client.set_terminated(run.info.run_id, names.RUN_STATUS[Status.INTERRUPTED])

    def _running(self, experiment: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs([experiment], "attributes.status = 'RUNNING'", page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _known_as(self, experiment: str, own: str | None) -> str | None:
        """The run with this provisional id; others of it, which a slow server has made, are deleted."""
        first, *doubles = self._made_as(experiment, own) or [None]
        for double in doubles:
            self._client.delete_run(double.info.run_id)
        return None if first is None else str(first.info.run_id)

    def _made_as(self, experiment: str, own: str | None) -> list[Run]:
        """The runs with this provisional id, the one that is furthest first."""
        found = self._client.search_runs([experiment], f"tags.`{names.RUN}` = '{own}'")
        return sorted(found, key=lambda run: -len(run.data.params))

    def _is_double(self, experiment: str, run: Run) -> bool:
        """Whether a slow server made this run after the request for it had been repeated."""
        own = run.data.tags.get(names.RUN)
        if own is None:
            return False
        furthest = next(iter(self._made_as(experiment, own)), run) if own not in self._opened else None
        return run.info.run_id != (self._opened[own] if furthest is None else furthest.info.run_id)

    def _open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        data_sets: Sequence[DataSet] = (),
        metrics: Mapping[str, float] = MappingProxyType({}),
        *,
        own: str | None = None,
        known: str | None = None,
    ) -> str:
        """Creates a run, or completes a known one, of which params, metrics and data sets may be missing; returns its id."""
        if known is None:
            all_tags = {**tags, **({names.RUN: own} if own else {})}
            info = self._client.create_run(experiment, run_name=name, tags=all_tags).info
        else:
            info = self._client.get_run(known).info
        run_id = str(info.run_id)
        if own is not None:
            self._opened[own] = run_id
        # remembered, since the client would read the whole run to find out
        self._artifacts[run_id] = self._artifacts_of(info)
        entries = [Param(key, value) for key, value in params.items()]
        now = [Metric(key, value, int(info.start_time), 0) for key, value in metrics.items()]
        self._client.log_batch(run_id, metrics=now, params=entries, synchronous=True)
        if data_sets:
            self._client.log_inputs(run_id, [data_set_input(each) for each in data_sets])
        return run_id

    def _artifacts_of(self, info: RunInfo) -> ArtifactRepository:
        return get_artifact_repository(info.artifact_uri, tracking_uri=self._address.uri)

    def _close(
        self,
        run_id: str,
        status: Status,
        points: Sequence[Point],
        when: float,
        tags: Mapping[str, str],
        paths: Sequence[Path],
    ) -> None:
        """Logs everything, then ends the run: an ended run is complete."""
        millis = round(when * 1000)
        metrics = [Metric(point.metric, point.value, millis, point.step) for point in points]
        entries = [RunTag(key, value) for key, value in tags.items()]
        with explained(self._address):
            artifacts = self._artifacts.pop(run_id, None) or self._artifacts_of(self._client.get_run(run_id).info)
            left_out = [path for path in paths if not _kept(artifacts, path)]
            if left_out:
                entries.append(RunTag(names.LEFT_OUT, ", ".join(path.name for path in left_out)))
            tables = names.table_tags(path for path in paths if path.exists() and path not in left_out)
            entries += [RunTag(key, value) for key, value in tables.items()]
            # MLflow's client splits a batch that is too large for the store
            self._client.log_batch(run_id, metrics=metrics, tags=entries, synchronous=True)
            self._client.set_terminated(run_id, names.RUN_STATUS[status])


def _kept(artifacts: ArtifactRepository, path: Path) -> bool:
    """Keeps a file or folder, if it exists; returns False if the web server before MLflow allows smaller files only."""
    try:
        if path.is_dir():
            artifacts.log_artifacts(str(path), path.name)
        elif path.exists():
            artifacts.log_artifact(str(path))
    except OSError as error:
        if getattr(getattr(error, "response", None), "status_code", None) != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        print(f"{path} was left out: the server allows no file of this size", flush=True)
        return False
    return True


def check_reachable(address: Address) -> None:
    """Fails at once if a store does not answer; MLflow itself would retry for minutes.

    Raises:
        OSError, ImportError, sqlalchemy.exc.SQLAlchemyError: host, driver or account is missing, or the file cannot be
            opened.
    """
    if address.endpoint is not None:
        host, _ = address.endpoint
        if address.kind not in getproxies() or proxy_bypass(host):
            socket.create_connection(address.endpoint, timeout=_PATIENCE).close()
    if address.kind not in SERVERS:
        engine = sqlalchemy.create_engine(address.uri)
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()
