"""`sweep.gc`: weights that lost go, everything else stays, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from sweep.commands.gc import gc
from sweep.errors import ConfigurationError, DataError
from sweep.housekeeping import removal
from sweep.housekeeping.chosen_weights import chosen_trials
from sweep.housekeeping.collect import GcPlan, apply, planned_removals
from sweep.housekeeping.removal import Kind
from sweep.housekeeping.usage import usage_of
from sweep.records.champion import ChampionEvent
from sweep.store.adapters import AdapterStore
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.store.pins import Pins
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from sweep.store.trials import TrialStore
from sweep.store.whole_folder import damage, set_aside, write_manifest
from tests.housekeeping.conftest import record_in
from tests.store.test_champions import ROWS, entry
from tests.study.driven import Trained, essence, planned, run

LONG_AGO = 1_600_000_000.0
YEARS = 20_000.0
"""Days of retention for which the made-up times of the study's trials are recent."""
MLFLOW_TABLES = """
create table runs (run_uuid text);
create table tags (key text, value text, run_uuid text);
create table registered_model_aliases (name text, version integer, alias text);
create table model_versions (name text, version integer, run_id text, source text, current_stage text);
"""
"""The part of MLflow's tables that is read here."""
STORED = Path(__file__).parents[1] / "stored" / "study.tar.gz"


def adapters(paths: Paths) -> set[str]:
    return {folder.name for folder in (paths.root / "adapters").glob("*/[!.]*")}


def files(paths: Paths) -> dict[str, bytes]:
    """Everything under `mlruns` but locks and databases, which reading touches."""
    kept = (file for file in paths.root.rglob("*") if file.is_file() and "locks" not in file.parts)
    return {str(file.relative_to(paths.root)): file.read_bytes() for file in kept if ".db" not in file.name}


def chosen(paths: Paths, study: str = "driven") -> set[str]:
    return {trial.spec.adapter_id for trial in chosen_trials(record_in(paths, study))}


def removed(paths: Paths, days: float = 0.0) -> GcPlan:
    plan = planned_removals(paths, days)
    assert list(apply(plan, paths)) == list(plan.removals)
    return plan


def end_of(process: subprocess.Popen[bytes]) -> int:
    """The number of a process that has ended."""
    process.wait()
    return process.pid


def test_only_weights_that_lost_go_and_the_study_is_the_same(paths: Paths) -> None:
    before, known = essence(record_in(paths)), files(paths)
    kept = chosen(paths)
    assert len(kept) == 2, "the chosen adapter, and the one that it was cut from"
    plan = removed(paths)
    assert adapters(paths) == kept
    assert {each.identity for each in plan.removals} == set(usage_of(paths).recorded) - kept - bases(paths)
    after = files(paths)
    gone = known.keys() - after.keys()
    assert gone
    assert all(name.startswith("adapters/") for name in gone)
    assert {name: known[name] for name in known.keys() - gone} == {name: after[name] for name in known.keys() - gone}
    trained = Trained()
    assert essence(run(paths, planned(), trained)) == before
    assert not trained.times, "a trial ran again"


def bases(paths: Paths) -> set[str]:
    record = record_in(paths)
    evaluated = [trial for trial in record.all_trials() if trial.arm is None]
    return {trial.spec.adapter_id for trial in evaluated}


@pytest.mark.slow
def test_records_of_trainings_are_kept(paths: Paths) -> None:
    trainings = [json.loads(file.read_text()) for file in (paths.root / "adapters").glob("*/*/training.json")]
    removed(paths)
    noted = [json.loads(line) for line in paths.removals.read_text().splitlines()]
    kept = [json.loads(file.read_text()) for file in (paths.root / "adapters").glob("*/*/training.json")]
    assert sorted(map(str, [*kept, *(line["training"] for line in noted)])) == sorted(map(str, trainings))
    assert all(line["bytes"] > 0 and "lost" in line["why"] for line in noted)


@pytest.mark.slow
def test_a_study_goes_on_and_trains_what_it_needs(paths: Paths) -> None:
    removed(paths)
    trained = Trained()
    record = run(paths, planned("certify.ladder=[2,4,8]"), trained)
    assert record.certification is not None
    assert {trial.rank for trial in record.certification.trials} == {2, 4, 8}
    assert set(trained.times) == {trial.identity for trial in record.certification.complete(4)}


@pytest.mark.slow
def test_young_weights_stay(paths: Paths) -> None:
    plan = planned_removals(paths, days=YEARS)
    assert not plan.removals
    assert plan.kept["used in the last 20000 days"] == len(adapters(paths)) - len(chosen(paths))


def test_a_plan_removes_nothing(paths: Paths) -> None:
    before = files(paths)
    assert planned_removals(paths, days=0.0).bytes > 0
    assert files(paths) == before


def test_claimed_and_pinned_adapters_stay(paths: Paths) -> None:
    claimed, pinned, *others = sorted(adapters(paths) - chosen(paths))
    lock = paths.adapter_lock(claimed)
    lock.parent.mkdir(parents=True, exist_ok=True)
    Pins(paths).add(pinned, "for the audit")
    with FileLock(lock):
        plan = removed(paths)
    assert {claimed, pinned} <= adapters(paths)
    assert not adapters(paths).intersection(others)
    assert plan.kept["pinned: for the audit"] == plan.kept["claimed by a running process"] == 1


@pytest.mark.slow
def test_what_is_claimed_after_the_plan_stays(paths: Paths) -> None:
    plan = planned_removals(paths, days=0.0)
    claimed = plan.removals[0].identity
    assert claimed is not None
    lock = paths.adapter_lock(claimed)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        assert len(list(apply(plan, paths))) == len(plan.removals) - 1
    assert claimed in adapters(paths)


def test_a_running_study_keeps_all_its_adapters(paths: Paths) -> None:
    with FileLock(paths.lock("driven")):
        plan = planned_removals(paths, days=0.0)
    assert not plan.removals
    assert plan.kept["a sweep of driven is running"] > 0


def test_a_crash_in_the_middle_is_harmless(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    before, kept = essence(record_in(paths)), chosen(paths)
    plan = planned_removals(paths, days=0.0)
    real, calls = shutil.rmtree, []

    def crash(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 3:
            (weights,) = folder.rglob("*.safetensors")
            weights.unlink()
            raise KeyboardInterrupt
        real(folder)

    with monkeypatch.context() as patched:
        patched.setattr(removal.shutil, "rmtree", crash)
        with pytest.raises(KeyboardInterrupt):
            list(apply(plan, paths))
    half = calls[-1]
    assert half.exists()
    assert half.name.startswith(".")
    store = AdapterStore(paths, pytest.fail)
    assert all(store.find(identity) for identity in adapters(paths)), "a half-removed adapter is still there"
    dead = end_of(subprocess.Popen([sys.executable, "-c", ""]))
    left = half.rename(half.with_name(f"{half.name.rpartition('.')[0]}.{dead}"))
    os.utime(left, (LONG_AGO, LONG_AGO))
    again = removed(paths)
    assert [each.path for each in again.removals if each.kind is Kind.SCRATCH] == [left]
    assert adapters(paths) == kept
    assert not left.exists()
    assert essence(record_in(paths)) == before


@pytest.mark.slow
def test_a_backup_restores_everything(paths: Paths, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(paths.root, backup)
    before = files(paths)
    removed(paths)
    shutil.copytree(backup, paths.root, dirs_exist_ok=True)
    after = files(paths)
    assert {name: after[name] for name in before} == before
    store = AdapterStore(paths, pytest.fail)
    assert all(store.find(identity) for identity in adapters(paths))
    assert {each.identity for each in planned_removals(paths, days=0.0).removals} >= adapters(paths) - chosen(paths)


def test_what_dead_processes_left_goes(paths: Paths) -> None:
    dead = end_of(subprocess.Popen([sys.executable, "-c", ""]))
    shard = next((paths.root / "adapters").iterdir())
    report = paths.report("driven")
    (report / "adapter").mkdir(parents=True)
    gone = [shard / f".half.{dead}", report / f".index.html.{dead}", report / f".adapter.{dead}.earlier"]
    gone += [paths.root / "trials" / "aa" / f".half.{dead}", paths.models / f".tiny.{dead}"]
    alive, young = shard / f".alive.{os.getpid()}", shard / f".young.{dead}"
    stay = [shard / ".half.damaged-1", report / f".page.{dead}.earlier"]  # the only copy of `page`
    for path in (*gone, *stay, alive, young):
        path.mkdir(parents=True)
        (path / "file").write_text("x")
    for path in (*gone, *stay):
        os.utime(path, (LONG_AGO, LONG_AGO))
    plan = removed(paths, days=YEARS)
    assert {each.path for each in plan.removals} == set(gone)
    assert all(path.exists() for path in (*stay, alive, young))


@pytest.mark.slow
def test_score_caches_of_no_adapter_go(paths: Paths) -> None:
    known = paths.scores(sorted(adapters(paths))[0])
    orphan, young = paths.scores("aa" * 16), paths.scores("bb" * 16)
    for folder in (known, orphan, young):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "losses.jsonl").write_text("{}\n")
    for folder in (known, orphan):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    plan = removed(paths, days=YEARS)
    assert [each.path for each in plan.removals] == [orphan]
    assert known.exists()
    assert young.exists()


def test_weights_in_folders_of_trials(tmp_path: Path) -> None:
    """A store of an earlier version: adapters lie in the trials' folders, with or without a manifest."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    paths = Paths(tmp_path / "mlruns")
    before = {folder.name for folder in (paths.root / "trials").glob("*/*") if (folder / "adapter").is_dir()}
    kept = chosen(paths, "stored")
    plan = removed(paths)
    assert {each.kind for each in plan.removals} == {Kind.OLDER}
    after = {folder.name for folder in (paths.root / "trials").glob("*/*") if (folder / "adapter").is_dir()}
    assert after == before & kept
    store = TrialStore(paths, pytest.fail)
    assert all(store.find(folder.name) for folder in (paths.root / "trials").glob("*/[!.]*"))
    assert (paths.adapter("stored") / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_manifest_forgets_weights_that_went(paths: Paths) -> None:
    """Versions between kept adapters in the trials' folders and listed them."""
    loser = sorted(adapters(paths) - chosen(paths))[0]
    (trial,) = usage_of(paths).recorded[loser].trials
    folder = paths.trial(trial)
    shutil.copytree(paths.trained_adapter(loser) / "adapter", folder / "adapter")
    write_manifest(folder)
    plan = removed(paths)
    assert folder / "adapter" in {each.path for each in plan.removals}
    assert not (folder / "adapter").exists()
    assert damage(folder) is None
    assert TrialStore(paths, pytest.fail).find(trial) is not None


def test_without_records_nothing_has_lost(paths: Paths) -> None:
    paths.optuna_database.unlink()
    with pytest.raises(ConfigurationError, match="there is no study here"):
        planned_removals(paths, days=0.0)


@pytest.mark.slow
def test_studies_in_another_database_are_left_alone(paths: Paths) -> None:
    before = adapters(paths)
    other = paths.root.parent / "other.db"
    paths.optuna_database.rename(other)
    empty = Paths(paths.root.parent / "empty")
    run(empty, planned("study.name=other", "search.trials=1", "certify=none"))
    shutil.copy(empty.optuna_database, paths.optuna_database)
    plan = planned_removals(paths, days=0.0)
    assert not [each for each in plan.removals if each.identity in before]
    assert plan.kept["the records of its study are in another database (storage=URL)"] > 0


@pytest.mark.slow
def test_adapters_that_no_study_has(paths: Paths) -> None:
    """One was trained alone and stays; the training of another was never evaluated."""
    loser = sorted(adapters(paths) - chosen(paths))[0]
    (trial,) = usage_of(paths).recorded[loser].trials
    alone, abandoned = "aa" * 16, "bb" * 16
    for identity in (alone, abandoned):
        shutil.copytree(paths.trained_adapter(loser), paths.trained_adapter(identity))
        os.utime(paths.trained_adapter(identity), (LONG_AGO, LONG_AGO))
    result = json.loads((paths.trial(trial) / "result.json").read_text())
    result["spec"] |= {"identity": "cc" * 16, "adapter": alone, "stage": "single", "split": "tune"}
    paths.trial("cc" * 16).mkdir(parents=True)
    (paths.trial("cc" * 16) / "result.json").write_text(json.dumps(result))
    plan = removed(paths)
    assert plan.kept["trained alone (sweep.train)"] == 1
    assert adapters(paths) == {*chosen(paths), alone}
    assert "no trial uses it" in {each.why for each in plan.removals if each.identity == abandoned}


def test_versions_of_a_champion_stay(paths: Paths) -> None:
    """The history names the adapters that were in use; of a challenger that lost, it keeps none."""
    version, challenger, *_ = sorted(adapters(paths) - chosen(paths))
    history = Champions(paths, "driven")
    first = replace(entry(1, ChampionEvent.VERDICT), training={"identity": version})
    history.append(first, adapter=paths.trained_adapter(version) / "adapter", rows=ROWS)
    history.append(replace(entry(2, ChampionEvent.KEPT, version=1), training={"identity": challenger}))
    plan = removed(paths)
    assert plan.kept["a version of the champion of driven"] == 1
    assert adapters(paths) == {*chosen(paths), version}


@pytest.mark.slow
def test_challengers_of_refresh_that_lost_go(paths: Paths) -> None:
    """No database has the trials of nights: their folders alone name the study."""
    loser = sorted(adapters(paths) - chosen(paths))[0]
    (trial,) = usage_of(paths).recorded[loser].trials
    result = json.loads((paths.trial(trial) / "result.json").read_text())
    for challenger, evaluated, study in (("aa" * 16, "cc" * 16, "driven"), ("bb" * 16, "dd" * 16, "unknown")):
        shutil.copytree(paths.trained_adapter(loser), paths.trained_adapter(challenger))
        paths.trial(evaluated).mkdir(parents=True)
        spec = result["spec"] | {"identity": evaluated, "adapter": challenger, "study": study}
        spec |= {"stage": "promotion", "split": "certify"}
        (paths.trial(evaluated) / "result.json").write_text(json.dumps({**result, "spec": spec}))
    others = "the records of its study are in another database (storage=URL)"
    assert planned_removals(paths, days=0.0).kept[others] == 2, "without a history, there were no nights"
    Champions(paths, "driven").append(
        entry(1, ChampionEvent.VERDICT), adapter=paths.trained_adapter(loser) / "adapter", rows=ROWS
    )
    assert not [each for each in planned_removals(paths, days=YEARS).removals if each.identity]
    plan = removed(paths)
    assert "aa" * 16 in {each.identity for each in plan.removals}
    assert plan.kept[others] == 1
    assert adapters(paths) >= {"bb" * 16}
    assert paths.trial("cc" * 16).is_dir()


def test_trials_of_a_study_in_another_database_are_no_challengers(paths: Paths) -> None:
    """The study went on in another database, and its champion has a history: only what its nights say they trained has lost."""
    loser = sorted(adapters(paths) - chosen(paths))[0]
    (trial,) = usage_of(paths).recorded[loser].trials
    result = json.loads((paths.trial(trial) / "result.json").read_text())
    elsewhere, of_a_night = "aa" * 16, "bb" * 16
    for adapter, identity in ((elsewhere, "cc" * 16), (of_a_night, "dd" * 16)):
        shutil.copytree(paths.trained_adapter(loser), paths.trained_adapter(adapter))
        paths.trial(identity).mkdir(parents=True)
        spec = result["spec"] | {"identity": identity, "adapter": adapter}
        (paths.trial(identity) / "result.json").write_text(json.dumps({**result, "spec": spec}))
    Champions(paths, "driven").append(
        entry(1, ChampionEvent.VERDICT), adapter=paths.trained_adapter(loser) / "adapter", rows=ROWS
    )
    RefreshLog(paths.refresh_log("driven")).add(RefreshEvent.TRAINED, "d" * 64, of_a_night, 1.0)
    plan = removed(paths)
    assert plan.kept["the records of its study are in another database (storage=URL)"] == 1
    assert elsewhere in adapters(paths)
    assert of_a_night not in adapters(paths)


@pytest.mark.parametrize("store", ["none", "of another run", "of this run"])
def test_artifacts_of_runs_that_another_store_records_stay(paths: Paths, store: str) -> None:
    """Whether a person has pinned or registered a run is known only where the store that has it was read."""
    loser = sorted(adapters(paths) - chosen(paths))[0]
    use = usage_of(paths).recorded[loser]
    (trial,), (run_id,) = use.trials, use.runs
    if store != "none":
        with closing(sqlite3.connect(paths.mlflow_database)) as database, database:
            database.executescript(MLFLOW_TABLES)
            known = run_id if store == "of this run" else "fedcba"
            database.execute("insert into runs values (?)", (known,))
            database.execute("insert into tags values ('sweep.trial', ?, ?)", (trial, known))
    artifact = paths.artifacts / "driven" / run_id / "artifacts" / "adapter"
    artifact.mkdir(parents=True)
    (artifact / "adapter_model.safetensors").write_bytes(b"weights")
    plan = removed(paths)
    assert loser not in adapters(paths), "what the project stores itself is decided by its own records"
    assert (artifact / "adapter_model.safetensors").exists() is (store != "of this run")
    assert (Kind.ARTIFACT in {each.kind for each in plan.removals}) is (store == "of this run")


def test_folders_that_were_set_aside_go_after_a_while(paths: Paths) -> None:
    adapter = sorted(adapters(paths) - chosen(paths))[0]
    (trial,) = usage_of(paths).recorded[adapter].trials
    paths.models.mkdir(exist_ok=True)
    (paths.models / "tiny").mkdir()
    (paths.models / "tiny" / "model.safetensors").write_bytes(b"weights")
    aside = {
        set_aside(folder) for folder in (paths.trained_adapter(adapter), paths.trial(trial), paths.models / "tiny")
    }
    mine = paths.models / ".mine.damaged"
    mine.mkdir()
    assert Kind.DAMAGED not in {each.kind for each in planned_removals(paths, days=1.0).removals}
    plan = planned_removals(paths, days=0.0)
    assert {each.path for each in plan.removals if each.kind is Kind.DAMAGED} == aside
    list(apply(plan, paths))
    assert not any(path.exists() for path in aside)
    assert mine.is_dir()
    noted = [json.loads(line) for line in paths.removals.read_text().splitlines()]
    (training,) = (line["training"] for line in noted if "adapters" in line["path"] and "damaged-1" in line["path"])
    assert training


def test_unreadable_pins_stop_everything(paths: Paths) -> None:
    paths.pins.write_text("[")
    with pytest.raises(DataError, match="pinned"):
        planned_removals(paths, days=0.0)


class TestCommand:
    @pytest.fixture(autouse=True)
    def here(self, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(paths.root.parent)

    @pytest.mark.slow
    def test_it_shows_the_plan_and_then_removes(self, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
        assert gc(["retention.days=0"]) == 0
        shown = capsys.readouterr().out
        assert "To be removed: " in shown
        assert "chosen by driven" in shown
        assert "Nothing was removed. To remove it: `" in shown
        assert "retention.days=0 apply=true`" in shown
        assert adapters(paths) > chosen(paths)
        assert gc(["retention.days=0", "--apply"]) == 0
        assert "\nRemoved " in capsys.readouterr().out
        assert adapters(paths) == chosen(paths)
        assert gc(["retention.days=0", "apply=true"]) == 0
        assert "There is nothing to remove." in capsys.readouterr().out

    @pytest.mark.slow
    def test_pins(self, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
        loser = sorted(adapters(paths) - chosen(paths))[0]
        (trial,) = usage_of(paths).recorded[loser].trials
        assert gc([f"pin={trial[:12]}"]) == 0
        assert loser in capsys.readouterr().out
        assert gc(["retention.days=0", "apply=true"]) == 0
        assert loser in adapters(paths)
        assert gc([f"unpin={loser}"]) == 0
        assert Pins(paths).all() == {}
        with pytest.raises(ConfigurationError, match="no adapter is known"):
            gc(["pin=zzzzzzzz"])

    def test_all_mistakes_at_once(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            gc(["apply=yes", "retention.days=-1", "retention.days=2"])
        assert len(caught.value.problems) == 3
