"""The study's database, on a real PostgreSQL, goes away for good: the sweep's MLflow run is closed, and a later call completes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.errors import EnvironmentLacks
from sweep.study import recording as recording_room
from sweep.study import run as run_room
from sweep.tracking.mlflow_tracker import MlflowTracker
from tests.search.test_database_server import ENDED, Place, Said, impatient, place, postgres
from tests.servers.postgres import PASSWORD
from tests.study.driven import planned, run

__all__ = ["impatient", "place", "postgres"]  # the fixtures

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]


@pytest.fixture
def client(place: Place, empty_store: Path) -> Iterator[MlflowClient]:
    """MLflow's client on the store that the study is recorded in, by a tracker in this process."""
    place.paths.root.mkdir()
    shutil.copy(empty_store, place.paths.mlflow_database)
    uri = f"sqlite:///{place.paths.mlflow_database}"

    def tracker(*_: object) -> MlflowTracker:
        return MlflowTracker(uri, place.paths.artifacts)

    with patch.object(run_room, "open_tracker", tracker), patch.object(recording_room, "open_tracker", tracker):
        yield MlflowClient(uri)


def study(place: Place, said: Said, at_the_end: Callable[[], object] = lambda: None) -> None:
    run(place.paths, planned("tracking.uri=null", f"storage.url={place.url}"), said, at_the_end)


def runs(client: MlflowClient) -> tuple[list[Run], list[Run]]:
    """The runs of sweeps, the first one first, and those of trials."""
    experiment = client.get_experiment_by_name("driven")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    sweeps = [each for each in found if "sweep.trial" not in each.data.tags]
    return sweeps, [each for each in found if each not in sweeps]


def stays_away(place: Place, said: Said, **how: Callable[[], object]) -> None:
    with pytest.raises(EnvironmentLacks, match=r"was away for 3 s.*the same command continues from there") as raised:
        study(place, said, **how)
    assert raised.value.exit_code == 3
    assert PASSWORD not in str(raised.value)


def is_closed_with_words(run: Run) -> None:
    assert (run.info.status, run.data.tags["sweep.status"]) == ("KILLED", "interrupted")
    assert "This sweep has stopped: storage.url: " in run.data.tags["mlflow.note.content"]
    assert "was away for 3 s" in run.data.tags["mlflow.note.content"]
    assert PASSWORD not in str(run.to_dictionary())


def test_in_the_middle(place: Place, client: MlflowClient) -> None:
    stays_away(place, Said(after=ENDED, action=lambda: place.proxy.break_(away=True)))
    sweeps, trials = runs(client)
    is_closed_with_words(sweeps[0])
    assert "RUNNING" not in {each.info.status for each in trials}
    place.proxy.repair()
    study(place, Said())
    sweeps, trials = runs(client)
    assert [each.info.status for each in sweeps] == ["KILLED", "FINISHED"]
    is_closed_with_words(sweeps[0])
    assert "RUNNING" not in {each.info.status for each in trials}


def test_at_the_end(place: Place, client: MlflowClient) -> None:
    """Everything is trained and recorded but for the verdict, which the next call adds to the same run."""
    stays_away(place, Said(), at_the_end=lambda: place.proxy.break_(away=True))
    (sweep,), before = runs(client)
    is_closed_with_words(sweep)
    place.proxy.repair()
    again = Said()
    study(place, again)
    assert not again.times
    (sweep,), trials = runs(client)
    assert (sweep.info.status, sweep.data.tags["sweep.status"]) == ("FINISHED", "complete")
    assert "has stopped" not in sweep.data.tags["mlflow.note.content"]
    assert "sweep.verdict" in sweep.data.tags
    assert [each.to_dictionary() for each in trials] == [each.to_dictionary() for each in before]
