"""`python -m sweep.refresh` on data that change, with real training of a tiny model."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from sweep.store.refresh_log import RefreshLog
from sweep.tracking.views import LADDER, views
from tests.faults.conftest import Sweep, finish, sweep, wait_until
from tests.faults.in_process import run_here

__all__ = ["sweep"]  # the fixture

WORDS = (
    "certify.enabled=true",
    "train.steps=24",
    "train.batch_size=4",
    "train.learning_rate=2e-2",
    "search.trials=1",
    "search.space.rank=[4]",
    "search.space.targets=[all_linear]",
    "lora.targets=all_linear",
    "search.space.learning_rate.low=1e-2",
    "search.space.learning_rate.high=4e-2",
    "certify.ladder=[2,4]",
    "certify.seeds=2",
    "certify.rate_trials=1",
    "certify.margin=0.9",
    "evaluate.certify_examples=20",
    "evaluate.test_examples=6",
)


def write(folder: Path, colours: list[str], train: int, validation: int, *, first: int = 0) -> None:
    """Adds rows whose answer is in the prompt."""
    for split, count in (("train", train), ("validation", validation), ("test", 6)):
        rows = [
            {
                "prompt": f"{split} {number}: the {colours[number % len(colours)]} box",
                "completion": colours[number % len(colours)],
            }
            for number in range(first, first + count)
        ]
        with (folder / f"{split}.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def entries(made: Sweep) -> list[dict[str, Any]]:
    files = sorted((made.folder / "mlruns/champions/faults").glob("0*/entry.json"))
    return [json.loads(file.read_text()) for file in files]


def in_use(made: Sweep) -> str:
    return (made.folder / "mlruns/champions/faults/adapter").resolve().parent.name


@pytest.fixture
def changing(sweep: Sweep) -> Sweep:
    for file in sweep.data.iterdir():
        file.unlink()
    write(sweep.data, ["red", "green", "blue"], train=48, validation=90)
    return sweep


def mlflow_of(made: Sweep) -> MlflowClient:
    return MlflowClient(f"sqlite:///{made.folder}/mlruns/mlflow.db")


def registered(made: Sweep, alias: str = "champion") -> ModelVersion:
    return mlflow_of(made).get_model_version_by_alias("faults-goldilocks", alias)


def versions(made: Sweep) -> list[str]:
    """The trials of all registered versions, in order."""
    found = mlflow_of(made).search_model_versions("name = 'faults-goldilocks'")
    return [each.tags["sweep.trial"] for each in sorted(found, key=lambda each: int(each.version))]


def running(made: Sweep) -> list[Run]:
    return [run for run in made.runs() if run.info.status == "RUNNING"]


def recorded_twice(made: Sweep) -> list[str]:
    """The names of trials that one sweep's run has more than once."""
    trials = [run for run in made.runs() if "mlflow.parentRunId" in run.data.tags and run.info.status == "FINISHED"]
    counts = Counter(
        (run.data.tags["mlflow.parentRunId"], run.data.tags["sweep.trial"], run.info.run_name) for run in trials
    )
    return [str(name) for (*_, name), count in counts.items() if count > 1]


KILLED_ONCE = """
import os, sys
from pathlib import Path

entry = Path("mlruns/champions/faults/0002")

def hook(event, arguments):
    if event == "open" and entry.is_dir():
        os._exit(9)

if "--multiprocessing-fork" not in sys.orig_argv:
    sys.addaudithook(hook)
"""
"""The sweep, and none of its workers, is killed as soon as it opens a file after a promotion is in place."""


def killed_after_its_promotion(made: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    (made.folder / "hook").mkdir()
    (made.folder / "hook" / "sitecustomize.py").write_text(KILLED_ONCE)
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", f"{made.folder / 'hook'}{os.pathsep}{Path(__file__).parents[2]}")
        killed = made.run(*WORDS, module="sweep.refresh")
    assert killed.returncode == 9, killed.stdout


@pytest.mark.slow
def test_a_champion_follows_its_data(changing: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    short = changing.run_here(*WORDS, "budget.wall_clock=1s", module="sweep.refresh")
    assert short.returncode == 0, short.stdout
    assert "the study is not finished" in short.stdout
    assert not entries(changing)
    first = changing.run_here(*WORDS, module="sweep.refresh")
    assert first.returncode == 0, first.stdout
    assert [entry["event"] for entry in entries(changing)] == ["verdict"]
    verdict = registered(changing)
    assert verdict.tags.items() >= {"sweep.champion.version": "1", "sweep.champion.event": "verdict"}.items()
    assert versions(changing) == [entries(changing)[0]["trial"]]
    trained = len(changing.trained())
    again = changing.run_here(*WORDS, module="sweep.refresh")
    assert again.returncode == 0, again.stdout
    assert "have not changed" in again.stdout
    assert len(changing.trained()) == trained

    write(changing.data, ["a heavy purple", "a long orange"], train=48, validation=90, first=1000)
    drift = changing.folder / "mlruns/champions/faults/drift.jsonl"
    steps = RefreshLog(changing.folder / "mlruns/champions/faults/refresh.jsonl")
    paused = changing.run_here(*WORDS, "budget.wall_clock=0.01s", module="sweep.refresh")
    assert paused.returncode == 0, paused.stdout
    assert "Not finished: budget.wall_clock=" in paused.stdout
    assert (len(entries(changing)), steps.adapters, steps.is_open) == (1, [], True)
    killed = changing.start(*WORDS, module="sweep.refresh")
    wait_until(drift.exists, killed, "score of the champion")
    killed.send_signal(signal.SIGKILL)
    finish(killed)
    assert len(entries(changing)) == 1
    killed_after_its_promotion(changing, monkeypatch)
    assert [entry["event"] for entry in entries(changing)] == ["verdict", "promotion"]
    (left,) = [run for run in running(changing) if "mlflow.parentRunId" not in run.data.tags]
    done = changing.run_here(*WORDS, module="sweep.refresh")
    assert done.returncode == 0, done.stdout
    assert "have not changed" in done.stdout
    assert "train: 48 added" in done.stdout
    assert not running(changing)
    assert mlflow_of(changing).get_run(left.info.run_id).info.status == "KILLED"
    promoted = entries(changing)[1]
    assert promoted["test"]["new"]["upper"] < 0
    assert promoted["test"]["old"]["upper"] < promoted["margin"]
    assert (promoted["tests"], promoted["promotions"]) == (1, 1)
    assert in_use(changing) == "0002"
    assert steps.adapters == [promoted["training"]["identity"]]
    assert not steps.is_open
    assert not recorded_twice(changing)
    (point,) = [json.loads(line) for line in drift.read_text().splitlines() if line]
    assert point["condition"] == "worse"
    assert point["new"] > point["old"]
    assert (changing.folder / "mlruns/champions/faults/drift.svg").stat().st_size > 1000

    files = {file: file.stat().st_mtime_ns for file in changing.trial_results()}
    more = changing.run_here(*WORDS, module="sweep.refresh")
    assert "have not changed" in more.stdout
    assert {file: file.stat().st_mtime_ns for file in changing.trial_results()} == files

    follows_in_mlflow(changing, promoted, verdict)
    answers(changing)
    another_verdict(changing)


def follows_in_mlflow(made: Sweep, promoted: dict[str, Any], verdict: ModelVersion) -> None:
    """The version in use has the alias: after a promotion whose call was killed, and after a rollback."""
    assert versions(made) == [entry["trial"] for entry in entries(made)]
    version = registered(made)
    assert (
        version.tags.items()
        >= {
            "sweep.trial": promoted["trial"],
            "sweep.champion.version": "2",
            "sweep.champion.event": "promotion",
            "sweep.champion.reason": promoted["reason"],
            "sweep.champion.margin": f"{promoted['margin']:g}",
            "sweep.champion.recipe": json.dumps(promoted["recipe"], sort_keys=True),
            "sweep.data_hash": promoted["data_hash"],
            "sweep.rank": str(promoted["rank"]),
        }.items()
    )
    assert "version 2 of the champion of `faults`, in use" in version.description
    assert version.run_id is not None
    client = mlflow_of(made)
    assert client.get_run(version.run_id).data.tags["sweep.stage"] == "promotion"
    ladder = next(view for view in views("exact_match") if view.id == LADDER)
    on_ladder = client.search_runs([client.get_run(version.run_id).info.experiment_id], ladder.filter)
    assert {run.data.tags["sweep.stage"] for run in on_ladder} == {"base", "certify"}

    code, said = run_here("sweep.champion", ["study=faults", "rollback=true"], made.folder)
    assert code == 0, said
    assert registered(made).version == verdict.version
    assert registered(made).tags["sweep.champion.event"] == "rollback"
    assert "not in use" in client.get_model_version("faults-goldilocks", version.version).description
    code, said = run_here("sweep.champion", ["study=faults", "to=2"], made.folder)
    assert registered(made).version == version.version
    assert len(versions(made)) == 2


def answers(made: Sweep) -> None:
    """`predict` and the model of the registry answer with the version in use."""
    prompt = "train 1000: the a heavy purple box"
    words = ["study=faults", f"prompt={prompt}", "max_new_tokens=4"]
    code, said = run_here("sweep.predict", words, made.folder)
    assert code == 0, said
    answer, note = said.splitlines()[-1], said.splitlines()[-2]
    assert note.startswith("faults: version 2 of its champion (promotion of ")
    code, said = run_here("sweep.predict", [*words, "version=1"], made.folder)
    assert "of its champion" not in said
    assert said.splitlines()[-1] != answer
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings(action="ignore"):
        import mlflow

        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{made.folder}/mlruns/mlflow.db")
        model = mlflow.pyfunc.load_model("models:/faults-goldilocks@champion")
        assert model.predict([{"prompt": prompt}], params={"max_new_tokens": 4}) == [answer]


def another_verdict(made: Sweep) -> None:
    """The study is continued on the data of its verdict: its answer does not come into use by itself."""
    in_use = registered(made)
    for file in made.data.iterdir():
        file.unlink()
    write(made.data, ["red", "green", "blue"], train=48, validation=90)
    more = made.run_here(*WORDS, "certify.seeds=3")
    assert more.returncode == 0, more.stdout
    assert registered(made).version == in_use.version
    handed_out = json.loads((made.folder / "mlruns/reports/faults/adapter/goldilocks.json").read_text())
    assert registered(made, "verdict").tags["sweep.trial"] == handed_out["trial"] != in_use.tags["sweep.trial"]
    assert "version 2 of the champion, which is in use (mlruns/champions/faults/adapter)" in more.stdout

    # a refresh was killed meanwhile, and the study has nothing to do
    recording = made.folder / "mlruns/champions/faults/recording.json"
    known = json.loads(recording.read_text())
    recording.write_text(json.dumps({**known, "is_open": True}))
    experiment = made.runs()[0].info.experiment_id
    mlflow_of(made).create_run(experiment, tags={"sweep.study": "faults", "sweep.owner": "elsewhere:1"})
    again = made.run_here(*WORDS, "certify.seeds=3")
    assert again.returncode == 0, again.stdout
    assert not running(made)
    assert json.loads(recording.read_text()) == known
