"""An experiment in any store that MLflow can open, read with MLflow's client as the rows and files that an archive holds.

The rows are those of `sweep.tracking.rows`, so that they can be added to a database of another machine under the ids that they have. What a
store of this kind has beyond them (traces, assessments, other experiments' models) is not read.
"""

from __future__ import annotations

import math
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.tracking.address import Address, address_of
from sweep.tracking.mlflow_client import check_reachable
from sweep.tracking.rows import HERE, Row
from sweep.tracking.stored_versions import every, registry_rows, row_of

_REQUESTS = 8
"""Requests at the same time."""
_NAMESPACE = uuid.UUID("f3a5a1c0-6f0e-4d3a-9f0b-6a6c5f6f6c01")
"""For the ids of rows that MLflow's client does not show; the same row has the same id each time."""


class StoredExperiment:
    """An experiment that is read from its store.

    Args:
        uri: the store's address, as in `tracking.uri`.
        name: of the experiment.

    Attributes:
        runs: the runs that are not deleted.

    Raises:
        ConfigurationError: the address names no store, or the store has no such experiment.
        EnvironmentLacks: the store cannot be read.
    """

    def __init__(self, uri: str, name: str) -> None:
        self._address = address_of(uri)
        if self._address.database is not None and not self._address.database.exists():
            raise ConfigurationError(f"tracking={self._address.shown}: there is no such file")
        with _reading(self._address):
            check_reachable(self._address)
            self._client = MlflowClient(self._address.uri, registry_uri=self._address.uri)
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise ConfigurationError(
                    f"{self._address.shown} has no experiment '{name}'; if the study was recorded elsewhere, name that store: tracking=URI"
                )
            self._experiment = found
            own = [found.experiment_id]
            self.runs: Sequence[Run] = every(partial(self._client.search_runs, own))
            self._models: Sequence[LoggedModel] = every(partial(self._client.search_logged_models, own))

    def rows(self, experiment_id: int | None = None) -> Iterator[Row]:
        """The rows of the experiment, its runs, logged models and registered versions.

        Args:
            experiment_id: of the experiment whose runs they are to become; None for its own row and id.

        Raises:
            EnvironmentLacks: the store cannot be read.
        """
        number = int(self._experiment.experiment_id) if experiment_id is None else experiment_id
        with _reading(self._address):
            if experiment_id is None:
                yield row_of(
                    "experiments",
                    experiment_id=number,
                    name=self._experiment.name,
                    artifact_location=f"{HERE}/{self._folder}",
                    lifecycle_stage="active",
                    creation_time=self._experiment.creation_time,
                    last_update_time=self._experiment.last_update_time,
                )
                for key, value in self._experiment.tags.items():
                    yield "experiment_tags", {"key": key, "value": value, "experiment_id": number}
            for run in self.runs:
                yield from self._run_rows(run, number)
            for model in self._models:
                yield from self._model_rows(model, number)
            yield from registry_rows(self._client, [run.info.run_id for run in self.runs], self._placed)

    def files(self, is_left_out: Callable[[str], bool], scratch: Path) -> Iterator[tuple[str, Path]]:
        """The artifacts, each with its name under `mlruns`; a file is there until the next one is asked for.

        Args:
            is_left_out: whether the file of a name is not wanted.
            scratch: a folder for them.

        Raises:
            EnvironmentLacks: the store cannot be read.
        """
        for folder, address in self._places():
            with _reading(self._address):
                artifacts = get_artifact_repository(address, tracking_uri=self._address.uri)
                wanted = [path for path in _paths(artifacts) if not is_left_out(f"{folder}/{path}")]
                with ThreadPoolExecutor(_REQUESTS) as requests:
                    files = requests.map(partial(artifacts.download_artifacts, dst_path=str(scratch)), wanted)
                    for path, file in zip(wanted, files, strict=True):
                        yield f"{folder}/{path}", Path(file)
                        (scratch / path).unlink(missing_ok=True)

    @property
    def _folder(self) -> str:
        return f"artifacts/{self._experiment.name}"

    def _places(self) -> list[tuple[str, str]]:
        """The folders of artifacts under `mlruns`, and the addresses that they have in the store."""
        runs = [(self._of_run(run), run.info.artifact_uri) for run in self.runs]
        return runs + [(self._of_model(each), each.artifact_location) for each in self._models]

    def _of_run(self, run: Run) -> str:
        return f"{self._folder}/{run.info.run_id}/artifacts"

    def _of_model(self, model: LoggedModel) -> str:
        return f"{self._folder}/models/{model.model_id}/artifacts"

    def _run_rows(self, run: Run, experiment: int) -> Iterator[Row]:
        info, run_id = run.info, run.info.run_id
        yield row_of(
            "runs",
            run_uuid=run_id,
            name=info.run_name,
            source_type="UNKNOWN",
            source_name="",
            entry_point_name="",
            source_version="",
            user_id=info.user_id,
            status=info.status,
            start_time=info.start_time,
            end_time=info.end_time,
            lifecycle_stage="active",
            artifact_uri=f"{HERE}/{self._of_run(run)}",
            experiment_id=experiment,
        )
        yield from (("params", {"key": k, "value": v, "run_uuid": run_id}) for k, v in run.data.params.items())
        yield from (("tags", {"key": k, "value": v, "run_uuid": run_id}) for k, v in run.data.tags.items())
        keys = list(run.data.metrics)
        with ThreadPoolExecutor(_REQUESTS) as requests:  # MLflow has no call for several metrics
            histories = list(requests.map(partial(self._client.get_metric_history, run_id), keys))
        for key, values in zip(keys, histories, strict=True):
            history = [
                {"key": key, **_number(each.value), "timestamp": each.timestamp, "step": each.step, "run_uuid": run_id}
                for each in values
            ]
            yield from (("metrics", row) for row in history)
            if history:
                yield "latest_metrics", max(history, key=lambda row: (row["step"], row["timestamp"], row["value"]))
        for used in run.inputs.dataset_inputs if run.inputs else ():
            data = used.dataset
            data_id = _id(self._experiment.name, data.name, data.digest)
            yield row_of(
                "datasets",
                dataset_uuid=data_id,
                experiment_id=experiment,
                name=data.name,
                digest=data.digest,
                dataset_source_type=data.source_type,
                dataset_source=data.source,
                dataset_schema=data.schema,
                dataset_profile=data.profile,
            )
            use = _input(("DATASET", data_id), ("RUN", run_id))
            yield "inputs", use
            for tag in used.tags:
                yield "input_tags", {"input_uuid": use["input_uuid"], "name": tag.key, "value": tag.value}
        for made in run.outputs.model_outputs if run.outputs else ():
            yield "inputs", _input(("RUN_OUTPUT", run_id), ("MODEL_OUTPUT", made.model_id), made.step)

    def _model_rows(self, model: LoggedModel, experiment: int) -> Iterator[Row]:
        own = {"model_id": model.model_id, "experiment_id": experiment}
        yield row_of(
            "logged_models",
            **own,
            name=model.name,
            artifact_location=f"{HERE}/{self._of_model(model)}",
            creation_timestamp_ms=model.creation_timestamp,
            last_updated_timestamp_ms=model.last_updated_timestamp,
            status=model.status.to_int(),
            lifecycle_stage="active",
            model_type=model.model_type,
            source_run_id=model.source_run_id,
            status_message=model.status_message,
        )
        for key, value in model.params.items():
            yield "logged_model_params", {**own, "param_key": key, "param_value": value}
        for key, value in model.tags.items():
            yield "logged_model_tags", {**own, "tag_key": key, "tag_value": value}

    def _placed(self, source: str) -> str:
        """The address of a version's files where they will be: `models:/ID`, `runs:/RUN/PATH`, or an address of the store."""
        places = {address: folder for folder, address in self._places()}
        places |= {f"models:/{each.model_id}": self._of_model(each) for each in self._models}
        places |= {f"runs:/{run.info.run_id}": self._of_run(run) for run in self.runs}
        for address, folder in places.items():
            if source == address or source.startswith(f"{address}/"):
                return f"{HERE}/{folder}{source.removeprefix(address)}"
        return source


def _number(value: float) -> dict[str, Any]:
    """A metric's value as MLflow's tables hold it."""
    is_nan, largest = math.isnan(value), sys.float_info.max
    return {"value": 0.0 if is_nan else min(max(value, -largest), largest), "is_nan": int(is_nan)}


def _input(source: tuple[str, str], destination: tuple[str, str], step: int = 0) -> dict[str, Any]:
    return {
        "input_uuid": _id(*source, *destination),
        "source_type": source[0],
        "source_id": source[1],
        "destination_type": destination[0],
        "destination_id": destination[1],
        "step": step,
    }


def _id(*words: str) -> str:
    return uuid.uuid5(_NAMESPACE, "\n".join(words)).hex


def _paths(artifacts: ArtifactRepository, folder: str | None = None) -> Iterator[str]:
    for each in artifacts.list_artifacts(folder):
        if each.is_dir:
            yield from _paths(artifacts, each.path)
        else:
            yield each.path


@contextmanager
def _reading(address: Address) -> Iterator[None]:
    """Turns errors of MLflow and its libraries into words without passwords.

    Raises:
        EnvironmentLacks: for any of them.
    """
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        cause = address.without_secrets(str(error).strip().partition("\n")[0][:500])
        raise EnvironmentLacks(
            f"the study's MLflow runs in {address.shown} cannot be read: {cause}\ncheck that it is running and accepts your "
            "account; if it has another address: tracking=URI; to leave the runs out: tracking=memory://"
        ) from None
