"""Writing one run: opening or completing it, and ending it with its metrics and files. Imported by `mlflow_tracker`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunInfo, RunTag
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweep.records import Status, TrialResult
from sweep.tracking import names
from sweep.tracking.address import Address
from sweep.tracking.data_sets import data_set_input
from sweep.tracking.names import Point
from sweep.tracking.port import DataSet
from sweep.tracking.store_errors import explained


class RunWriter:
    """Writes runs to a store.

    Attributes:
        opened: the ids of the runs that were opened here, by their provisional ids.
    """

    def __init__(self, client: MlflowClient, address: Address) -> None:
        self.opened: dict[str, str] = {}
        self._client = client
        self._address = address
        self._artifacts: dict[str, ArtifactRepository] = {}

    def open(
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
            self.opened[own] = run_id
        # remembered, since the client would read the whole run to find out
        self._artifacts[run_id] = self._artifacts_of(info)
        entries = [Param(key, value) for key, value in params.items()]
        now = [Metric(key, value, int(info.start_time), 0) for key, value in metrics.items()]
        self._client.log_batch(run_id, metrics=now, params=entries, synchronous=True)
        if data_sets:
            self._client.log_inputs(run_id, [data_set_input(each) for each in data_sets])
        return run_id

    def close_trial(self, run_id: str, result: TrialResult, files: Sequence[Path]) -> None:
        """See `Tracker.close_trial`."""
        points = [Point(name, value, 0) for name, value in names.metrics_of(result).items()]
        points += names.points_of(result)
        # the time of the trial's end: logging a result again, after a crash between log and end, adds nothing
        when = result.started + result.seconds if result.started > 0 else time.time()
        self.close(run_id, result.status, points, when, names.closing_tags(result), files)

    def close(
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

    def _artifacts_of(self, info: RunInfo) -> ArtifactRepository:
        return get_artifact_repository(info.artifact_uri, tracking_uri=self._address.uri)


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
