"""With real MLflow: a moved folder, a packed study and removed weights, as MLflow's own client sees them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from sweep.commands.doctor.databases import artifacts
from sweep.commands.doctor.repair import repair
from sweep.errors import DataError, StudyBusy
from sweep.housekeeping.collect import apply, planned_removals
from sweep.housekeeping.moved import where_it_was
from sweep.housekeeping.pack import pack
from sweep.housekeeping.removal import Kind
from sweep.housekeeping.unpack import unpack
from sweep.housekeeping.usage import usage_of
from sweep.records import StudyRecord
from sweep.search.portable import RUN_PAGE, packed_studies
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.study import recording as recording_room
from sweep.study import run as run_room
from sweep.tracking import open_tracker
from sweep.tracking.champion_model import register
from sweep.tracking.kept_runs import REMOVED_NOTE
from sweep.tracking.locations import local_path
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.rows import add_rows, packed_rows
from tests.housekeeping.conftest import record_in
from tests.housekeeping.test_gc import adapters, chosen
from tests.study.driven import Trained, essence, planned, run
from tests.tracking.made_champion import made_champion

pytestmark = pytest.mark.slow


def record_and_run(paths: Paths, *overrides: str, trained: Trained | None = None) -> StudyRecord:
    """Runs or continues the study; MLflow's tracker is in this process, since a process of its own takes seconds to start."""

    def tracker(uri: str | None, paths: Paths, *_: object) -> MlflowTracker:
        return MlflowTracker(uri or f"sqlite:///{paths.mlflow_database}", paths.artifacts)

    with patch.object(run_room, "open_tracker", tracker), patch.object(recording_room, "open_tracker", tracker):
        return run(paths, planned("tracking.uri=null", *overrides), trained)


@pytest.fixture(scope="module")
def recorded(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `mlruns` of a finished study that MLflow has recorded; copy it before you change it."""
    paths = Paths(tmp_path_factory.mktemp("recorded") / "mlruns")
    paths.root.mkdir()
    shutil.copy(empty_store, paths.mlflow_database)
    record_and_run(paths)
    return paths.root


@pytest.fixture
def here(recorded: Path, tmp_path: Path) -> Paths:
    """A copy in another folder, whose name has a space and a letter that addresses write in another way."""
    paths = Paths(tmp_path / "a völlig other place" / "mlruns")
    shutil.copytree(recorded, paths.root)
    return paths


def client(paths: Paths) -> MlflowClient:
    return MlflowClient(f"sqlite:///{paths.mlflow_database}", f"sqlite:///{paths.mlflow_database}")


def runs(paths: Paths, study: str = "driven") -> dict[str, dict[str, Any]]:
    """Everything that MLflow knows of a study's runs, by id, and the artifacts that it finds."""
    store = client(paths)
    experiment = store.get_experiment_by_name(study)
    if experiment is None:
        return {}
    found = store.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, max_results=1000)
    return {
        each.info.run_id: {
            "name": each.info.run_name,
            "status": each.info.status,
            "times": (each.info.start_time, each.info.end_time),
            "metrics": each.data.metrics,
            "loss": [(p.step, p.value) for p in store.get_metric_history(each.info.run_id, "train/loss")],
            "params": each.data.params,
            "tags": each.data.tags,
            "artifacts": sorted(file.path for file in store.list_artifacts(each.info.run_id)),
        }
        for each in found
    }


def rows(database: Path) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return [
            connection.execute(f'select * from "{table}" order by 1, 2').fetchall()  # noqa: S608
            for table in ("experiments", "runs", "model_versions", "params")
        ]


@pytest.fixture(scope="module")
def known(recorded: Path) -> dict[str, dict[str, Any]]:
    seen = runs(Paths(recorded))
    assert len(seen) > 10
    assert all(each["artifacts"] for each in seen.values())
    return seen


class TestMoved:
    def test_a_copy_is_corrected_and_the_original_stays(
        self, here: Paths, recorded: Path, known: dict[str, dict[str, Any]]
    ) -> None:
        assert where_it_was(Paths(recorded)) == []
        assert where_it_was(here) == [recorded]
        (finding,) = artifacts(here)
        assert finding.state == "warning"
        assert str(recorded) in finding.message
        assert "--repair" in finding.fix
        before = rows(Paths(recorded).mlflow_database)
        lines = [line for line in repair(here) if "was moved or copied here" in line]
        assert len(lines) == 2, lines
        assert str(recorded) in lines[-1]
        assert str(here.root) in lines[-1]
        assert where_it_was(here) == []
        assert artifacts(here) == []
        assert rows(Paths(recorded).mlflow_database) == before
        assert runs(here) == known
        store = client(here)
        for run_id in known:
            assert str(here.root) in store.download_artifacts(run_id, "")
        assert not [line for line in repair(here) if "was moved or copied here" in line]

    def test_a_moved_folder_goes_on(self, here: Paths, recorded: Path, tmp_path: Path) -> None:
        """Repaired after the move, the study records where it is, and completes what MLflow has not taken."""
        repair(here)
        moved = Paths(tmp_path / "moved")
        here.root.rename(moved.root)
        journal = moved.journals / "driven.0123.jsonl"
        journal.parent.mkdir(exist_ok=True)
        head = {"store": f"sqlite:///{here.mlflow_database}", "study": "driven"}
        entry = {"do": "close_trial", "files": [str(here.root / "trials" / "x"), "/elsewhere/x"]}
        journal.write_text(f'{json.dumps(head)}\n{json.dumps(entry)}\n{{"do": "half')
        repair(moved)
        lines = journal.read_text().splitlines()
        assert json.loads(lines[0])["store"] == f"sqlite:///{moved.mlflow_database}"
        assert json.loads(lines[1])["files"] == [str(moved.root / "trials" / "x"), "/elsewhere/x"]
        assert lines[2] == '{"do": "half'
        journal.unlink()
        with existing_storage(None, moved) as storage:
            (study,) = packed_studies(storage, "driven")
        assert study["user_attrs"]["recording"]["store"] == f"sqlite:///{moved.mlflow_database}"
        count = len(runs(moved))
        record_and_run(moved, "search.trials=6")
        assert len(runs(moved)) > count
        assert all(each["artifacts"] for each in runs(moved).values())
        assert not here.root.exists()

    def test_what_a_sweep_wrote_to_the_earlier_place_is_fetched(self, here: Paths, recorded: Path) -> None:
        (folder,) = (each for each in sorted(here.artifacts.glob("driven/*"))[:1])
        shutil.rmtree(folder)
        lines = repair(here)
        assert any("artifacts of 1 run(s)" in line for line in lines)
        assert sorted(file.name for file in folder.rglob("*")) == sorted(
            file.name for file in (recorded / folder.relative_to(here.root)).rglob("*")
        )

    def test_a_model_that_a_sweep_wrote_to_the_earlier_place_is_fetched(self, recorded: Path, tmp_path: Path) -> None:
        """Registered after the copy and before the repair, when the database still named the earlier place."""
        earlier, here = Paths(tmp_path / "earlier"), Paths(tmp_path / "later")
        shutil.copytree(recorded, earlier.root)
        repair(earlier)
        shutil.copytree(earlier.root, here.root)
        model = register_as_a_sweep_does(here, "0123abcd", tmp_path / "adapter")
        assert list(earlier.artifacts.glob("driven/models/*"))
        assert any("1 run(s) or logged model(s)" in line for line in repair(here))
        shutil.rmtree(earlier.root)
        source = local_path(client(here).get_model_version_by_alias(model, "champion").source)
        assert source is not None
        assert source.is_relative_to(here.root)
        assert (source / "MLmodel").is_file()

    def test_places_that_somebody_chose_stay(self, here: Paths, recorded: Path) -> None:
        store = client(here)
        chosen_by_hand = store.create_experiment("mine", artifact_location="file:///data/mine")
        remote = store.create_experiment("far", artifact_location="s3://bucket/far")
        repair(here)
        assert client(here).get_experiment(chosen_by_hand).artifact_location == "file:///data/mine"
        assert client(here).get_experiment(remote).artifact_location == "s3://bucket/far"

    def test_a_link_to_the_same_folder_is_no_move(self, recorded: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(recorded)
        assert where_it_was(Paths(link)) == []

    def test_a_writer_is_waited_for_and_then_refused(self, here: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sweep.tracking.locations._PATIENCE_SECONDS", 0.1)
        before = rows(here.mlflow_database)
        with closing(sqlite3.connect(here.mlflow_database, isolation_level=None)) as writer:
            writer.execute("begin immediate")
            with pytest.raises(StudyBusy, match="stop the MLflow server"):
                repair(here)
            writer.rollback()
        assert rows(here.mlflow_database) == before
        repair(here)
        assert where_it_was(here) == []

    def test_a_sweep_says_so(self, here: Paths, recorded: Path) -> None:
        said: list[str] = []
        open_tracker(None, here, "driven", said.append)
        assert len(said) == 1
        assert "--repair" in said[0]


@pytest.fixture(scope="module")
def packed(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = Paths(tmp_path_factory.mktemp("packed") / "mlruns")
    shutil.copytree(recorded, paths.root)  # packed from a copy whose addresses were not corrected
    store = client(paths)
    record = record_in(paths)
    best = record.best()
    assert best is not None
    store.create_registered_model("driven-goldilocks", tags={"study": "driven"})
    source = f"{store.get_run(str(best.run_id)).info.artifact_uri}/adapter"
    store.create_model_version("driven-goldilocks", source, best.run_id, tags={"margin": "0.02"})
    store.set_registered_model_alias("driven-goldilocks", "champion", "1")
    pack("driven", paths.root.parent / "driven.zip", paths, pytest.fail)
    return paths.root.parent / "driven.zip"


class TestPacked:
    def test_in_an_empty_folder(
        self, packed: Path, recorded: Path, known: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        there = Paths(tmp_path / "there" / "mlruns")
        done = unpack(packed, there, say=pytest.fail)
        assert not done.was_here
        assert runs(there) == known
        assert where_it_was(there) == []
        version = client(there).get_model_version_by_alias("driven-goldilocks", "champion")
        assert version.source.startswith(there.root.as_uri())
        assert version.tags == {"margin": "0.02"}
        assert client(there).get_registered_model("driven-goldilocks").tags == {"study": "driven"}
        before, trained = essence(record_in(Paths(recorded))), Trained()
        assert essence(record_and_run(there, trained=trained)) == before
        assert not trained.times
        assert runs(there).keys() == known.keys(), "a finished study is recorded once"

    def test_beside_another_study(
        self, packed: Path, empty_store: Path, known: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        there = Paths(tmp_path / "there")
        there.root.mkdir()
        shutil.copy(empty_store, there.mlflow_database)
        record_and_run(there, "study.name=other", "search.trials=1", "certify=none")
        client(there).create_registered_model("driven-goldilocks", description="mine")
        others = runs(there, "other")
        unpack(packed, there, say=pytest.fail)
        assert runs(there, "other") == others
        assert runs(there) == known
        experiment = client(there).get_experiment_by_name("driven")
        assert experiment is not None
        with existing_storage(None, there) as storage:
            (study,) = packed_studies(storage, "driven")
        assert study["user_attrs"][RUN_PAGE] == f"#/experiments/{experiment.experiment_id}/runs/{{run}}"
        assert client(there).get_registered_model("driven-goldilocks").description == "mine"
        assert client(there).search_model_versions("name = 'driven-goldilocks'") == []
        again = rows(there.mlflow_database)
        assert unpack(packed, there, say=pytest.fail).was_here
        assert rows(there.mlflow_database) == again

    def test_artifacts_that_somebody_keeps_elsewhere(self, here: Paths, tmp_path: Path) -> None:
        with closing(sqlite3.connect(here.mlflow_database)) as database:
            database.execute("update experiments set artifact_location = '/data/mine' where name = 'driven'")
            database.commit()
        said: list[str] = []
        pack("driven", tmp_path / "driven.zip", here, said.append)
        assert said == ["its MLflow runs have artifacts outside of mlruns (/data/mine), and are left out"]
        unpack(tmp_path / "driven.zip", Paths(tmp_path / "there"), say=said.append)
        assert said[1:] == ["its MLflow runs were not packed"]

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("runs", "artifact_uri", "file:///etc"),
            ("runs", "artifact_uri", "mlruns:/../../etc"),
            ("runs", "artifact_uri", "mlruns:/%2e%2e/x"),
            ("experiments", "artifact_location", "/etc"),
            ("experiments", "name", "other"),
            ("runs", "experiment_id", 0),
        ],
    )
    def test_rows_that_name_something_else_are_refused(
        self, table: str, column: str, value: object, recorded: Path, empty_store: Path, tmp_path: Path
    ) -> None:
        listed = [(name, dict(row)) for name, row in packed_rows(recorded / "mlflow.db", "driven", recorded)]
        for name, row in listed:
            if name == table:
                row[column] = value
        database = Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))
        before = rows(database)
        with pytest.raises(DataError):
            add_rows(database, listed, "driven", tmp_path)
        assert rows(database) == before
        with pytest.raises(DataError, match="a row of 'alembic_version'"):
            add_rows(database, [*good(recorded), ("alembic_version", {"version_num": "x"})], "driven", tmp_path)


def good(recorded: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    return packed_rows(recorded / "mlflow.db", "driven", recorded)


def register_as_a_sweep_does(paths: Paths, trial: str, folder: Path) -> str:
    """Registers a small adapter as that of a trial, from the run of the study's sweep; returns the registered model's name."""
    store = client(paths)
    experiment = store.get_experiment_by_name("driven")
    assert experiment is not None
    sweeps = [run_id for run_id, run in runs(paths).items() if "mlflow.parentRunId" not in run["tags"]]
    champion = made_champion(folder, trial=trial)
    register(store, experiment.experiment_id, sweeps[0], champion, on_server=False)
    return champion.model


def test_a_version_that_comes_from_no_run_is_packed(here: Paths, tmp_path: Path) -> None:
    store = client(here)
    experiment = store.get_experiment_by_name("driven")
    assert experiment is not None
    champion = made_champion(tmp_path / "adapter", trial="of no run")
    register(store, experiment.experiment_id, None, champion, on_server=False)
    packed = [(table, row) for table, row in packed_rows(here.mlflow_database, "driven", here.root)]
    assert [row["run_id"] for table, row in packed if table == "model_versions"] == [None]
    assert [row["alias"] for table, row in packed if table == "registered_model_aliases"] == ["champion"]


def test_adapters_behind_versions_of_a_study_stay(here: Paths, tmp_path: Path) -> None:
    """A study registers its adapter from the run of the sweep; the version names the trial."""
    repair(here)
    loser = sorted(adapters(here) - chosen(here))[0]
    (trial,) = usage_of(here).recorded[loser].trials
    model = register_as_a_sweep_does(here, trial, tmp_path / "adapter")
    plan = planned_removals(here, days=0.0)
    assert plan.kept[f"{model} version 1 (champion)"] == 1
    list(apply(plan, here))
    assert adapters(here) == {*chosen(here), loser}


def test_logged_models_of_no_version_lose_their_weights(here: Paths, tmp_path: Path) -> None:
    """Versions stay, with or without an alias; one that was deleted lets its model go, unless somebody has pinned it."""
    repair(here)
    store, usage = client(here), usage_of(here)
    losers = sorted(adapters(here) - chosen(here))[:4]
    trials = {loser: next(iter(usage.recorded[loser].trials)) for loser in losers}
    for trial in trials.values():
        model = register_as_a_sweep_does(here, trial, tmp_path / trial)
    models = {each.tags["sweep.trial"]: each for each in store.search_logged_models(experiments(here))}
    folders = {loser: here.artifacts / "driven" / "models" / models[trials[loser]].model_id for loser in losers}

    def with_weights() -> set[str]:
        return {loser for loser, folder in folders.items() if any(folder.rglob("*.safetensors"))}

    plan = planned_removals(here, days=0.0)
    assert not [each for each in plan.removals if each.kind is Kind.MODEL]
    assert plan.kept[f"{model} version 1"] == plan.kept[f"{model} version 4 (champion)"] == 1
    deleted, pinned, unaliased, champion = losers
    store.delete_model_version(model, "1")
    store.delete_model_version(model, "2")
    store.set_logged_model_tags(models[trials[pinned]].model_id, {"sweep.pinned": "for the audit"})
    assert not [each for each in planned_removals(here, days=20_000.0).removals if each.kind is Kind.MODEL]
    before = rows(here.mlflow_database)
    plan = planned_removals(here, days=0.0)
    (gone,) = (each for each in plan.removals if each.kind is Kind.MODEL)
    assert gone.path == folders[deleted] / "artifacts"
    assert gone.bytes == len(b"weights")
    list(apply(plan, here))
    assert with_weights() == {pinned, unaliased, champion}
    assert (folders[deleted] / "artifacts" / REMOVED_NOTE).is_file()
    assert (folders[deleted] / "artifacts" / "MLmodel").is_file()
    assert rows(here.mlflow_database) == before
    assert not planned_removals(here, days=0.0).removals

    # a verdict that chooses it again gets a whole model
    register_as_a_sweep_does(here, trials[deleted], tmp_path / "again")
    source = local_path(store.get_model_version_by_alias(model, "champion").source)
    assert source is not None
    assert source != gone.path
    assert any(source.rglob("*.safetensors"))


def experiments(paths: Paths) -> list[str]:
    return [each.experiment_id for each in client(paths).search_experiments()]


def test_weights_that_lost_go_from_mlflow_too(here: Paths, known: dict[str, dict[str, Any]]) -> None:
    repair(here)
    usage = usage_of(here)
    losers = sorted(adapters(here) - chosen(here))
    champion, pinned = (next(iter(usage.recorded[loser].runs)) for loser in losers[:2])
    store = client(here)
    store.create_registered_model("driven-goldilocks")
    store.create_model_version("driven-goldilocks", f"runs:/{champion}/adapter", champion)
    store.set_registered_model_alias("driven-goldilocks", "champion", "1")
    store.set_tag(pinned, "sweep.pinned", "yes")
    store.set_tag(next(iter(usage.recorded[losers[2]].runs)), "sweep.pinned", "false")
    plan = planned_removals(here, days=0.0)
    assert {each.kind for each in plan.removals} == {Kind.ADAPTER, Kind.ARTIFACT}
    assert plan.kept["driven-goldilocks version 1 (champion)"] == plan.kept["pinned in MLflow"] == 1
    list(apply(plan, here))
    assert adapters(here) == {*chosen(here), *losers[:2]}
    kept_runs = {run for adapter in adapters(here) for run in usage.recorded[adapter].runs}
    for run_id in known:
        folder = here.artifacts / "driven" / run_id / "artifacts" / "adapter"
        if folder.is_dir():
            assert any(folder.glob("*.safetensors")) is (run_id in kept_runs)
            assert (folder / REMOVED_NOTE).exists() is (run_id not in kept_runs)
            assert (folder / "adapter_config.json").exists()
    after = runs(here)
    for run_id, before in known.items():
        assert {**after[run_id], "tags": None} == {**before, "tags": None}
    assert not planned_removals(here, days=0.0).removals
    trained = Trained()
    record_and_run(here, trained=trained)
    assert not trained.times
