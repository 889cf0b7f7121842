"""The certify and final stages from the command line: run, rerun, more seeds, a wider ladder, interrupted."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow
import pytest
from mlflow.entities import Run

from sweep.search.study import SearchStudy
from tests.faults.conftest import Sweep, finish, spend_the_budget, sweep, wait_until

__all__ = ["sweep"]  # the fixture

SMALL = (
    "certify.enabled=true",
    "search.trials=1",
    "search.space.rank=[2]",
    "search.space.targets=[q_v]",
    "certify.rate_trials=1",
    "evaluate.certify_examples=8",
    "evaluate.test_examples=6",
)


def by_stage(made: Sweep) -> dict[str, list[dict[str, Any]]]:
    specs: dict[str, list[dict[str, Any]]] = {}
    for file in made.trial_results():
        spec = json.loads(file.read_text())["spec"]
        specs.setdefault(f"{spec['stage']} on {spec['split']}", []).append(spec)
    return specs


def seeds_by_rank(made: Sweep) -> dict[int, set[int]]:
    seeds: dict[int, set[int]] = {}
    for spec in by_stage(made).get("certify on certify", []):
        seeds.setdefault(spec["arm"]["rank"], set()).add(spec["seed"])
    return seeds


def verdict(made: Sweep) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((made.folder / "mlruns/reports/faults/verdict.json").read_text())
    return loaded


def outcome(text: str) -> str:
    """The output from the first table on."""
    return text[text.index("faults: made on tiny") :]


def parent_runs(made: Sweep) -> list[Run]:
    return [run for run in made.runs() if "mlflow.parentRunId" not in run.data.tags]


def check_verdict_in_mlflow(made: Sweep) -> None:
    """The sweep's latest run has the verdict of verdict.json."""
    latest = max(parent_runs(made), key=lambda run: run.info.start_time)
    written, tags, metrics = verdict(made), latest.data.tags, latest.data.metrics
    assert tags["sweep.verdict"] == written["status"]
    assert tags["sweep.verdict.rank"] == str(written["rank"] or "none").lower()
    assert tags["sweep.verdict.findings"] == (", ".join(each["kind"] for each in written["findings"]) or "none")
    assert metrics.get("verdict/rank") == written["rank"]
    assert metrics["verdict/margin"] == written["margin"]
    assert tags["mlflow.note.content"] == "\n".join(
        [written["headline"], *(f"- {reason}" for reason in written["reasons"])]
    )
    assert {"search/best_rank", "search/best_loss", "base/loss"} <= metrics.keys()
    assert not [name for name in latest.data.params if name.startswith("lora.")]


def test_a_study_ends_with_a_verdict_and_a_rerun_trains_nothing(sweep: Sweep) -> None:
    first = sweep.run(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2")
    assert first.returncode == 0, first.stdout
    assert seeds_by_rank(sweep) == {2: {1, 2}, 4: {1, 2}}, "seed 0 tuned the rates and does not judge"
    stages = by_stage(sweep)
    assert {name: len(specs) for name, specs in stages.items()} == {
        "base on tune": 1,
        "explore on tune": 1,
        "base on certify": 1,
        "rates on tune": 1,
        "certify on certify": 4,
        "base on test": 1,
        "final on test": len(stages["final on test"]),
    }
    assert 1 <= len(stages["final on test"]) <= 2
    written = verdict(sweep)
    assert [rung["rank"] for rung in written["ladder"]] == [2, 4]
    assert set(written["test"]) == {"base", "goldilocks", "largest"}
    # the tiny model answers nothing right, so a lookup is at least as good, and that is said before all else
    (lookup,) = (each for each in written["findings"] if each["kind"].startswith("nearest_example"))
    assert lookup["figures"]["examples"] == 6
    assert lookup["figures"]["score"] <= lookup["figures"]["nearest"]
    assert lookup["text"].partition(" (")[0] in written["headline"]
    assert f"{lookup['figures']['examples']} test examples" in " ".join(first.stdout.split())
    check_verdict_in_mlflow(sweep)
    assert (sweep.folder / "mlruns/reports/faults/adapter/adapter_model.safetensors").exists()

    times = {file: file.stat().st_mtime_ns for file in sweep.trial_results()}
    again = sweep.run_here(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2")
    assert again.returncode == 0, again.stdout
    assert outcome(again.stdout) == outcome(first.stdout)
    assert {file: file.stat().st_mtime_ns for file in sweep.trial_results()} == times, "a second call trains nothing"
    later = verdict(sweep)
    assert {**later, "created": None} == {**written, "created": None}
    check_verdict_in_mlflow(sweep)


@pytest.mark.slow
def test_prompts_of_train_are_not_judged(sweep: Sweep) -> None:
    rows = {
        split: (sweep.data / f"{split}.jsonl").read_text().splitlines() for split in ("train", "validation", "test")
    }
    (sweep.data / "train.jsonl").write_text("\n".join([*rows["train"], *rows["validation"][:-20], *rows["test"][:2]]))
    done = sweep.run_here(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2", "evaluate.certify_examples=1000")
    assert done.returncode == 0, done.stdout
    (found,) = (each for each in verdict(sweep)["findings"] if each["kind"] == "seen_before")
    counts = re.match(
        r"Certify: (\d+) of (\d+) rows are left out of judging, .*; that leaves (\d+). Test: 2 of", found["text"]
    )
    assert counts is not None, found["text"]
    gone, of, left = map(int, counts.groups())
    assert (gone + left, gone > 0) == (of, True)
    results = [json.loads(file.read_text()) for file in sweep.trial_results()]
    assert {each["measures"]["examples"] for each in results if each["spec"]["stage"] == "certify"} == {left}
    printed = " ".join(done.stdout.split())
    assert printed.count(f"{gone} of {of} rows are left out of judging") == 2, (
        "before the training, and as a note of the verdict"
    )
    page = (sweep.folder / "mlruns/reports/faults/index.html").read_text()
    assert f"{gone} of {of} rows are left out of judging" in page


@pytest.mark.slow
def test_a_certified_study_takes_another_margin_more_seeds_and_a_wider_ladder(sweep: Sweep) -> None:
    first = sweep.run_here(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2")
    assert first.returncode == 0, first.stdout
    times = {file: file.stat().st_mtime_ns for file in sweep.trial_results()}
    calls = len(parent_runs(sweep))
    other_margin = sweep.run_here(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2", "certify.margin=0.3")
    assert other_margin.returncode == 0, other_margin.stdout
    assert len(parent_runs(sweep)) == calls, "nothing was trained"
    assert any("0.3" in reason or "30" in reason for reason in verdict(sweep)["reasons"])
    check_verdict_in_mlflow(sweep)

    wider = sweep.run_here(*SMALL, "certify.ladder=[2,4,8]", "certify.seeds=3")
    assert wider.returncode == 0, wider.stdout
    assert set(seeds_by_rank(sweep)) == {2, 4, 8}
    assert seeds_by_rank(sweep)[8] >= {1, 2}
    assert all(file in sweep.trial_results() for file in times)
    assert {file: file.stat().st_mtime_ns for file in times} == times, "what was there is not trained again"
    assert [rung["rank"] for rung in verdict(sweep)["ladder"]] == [2, 4, 8]

    check_verdict_in_mlflow(sweep)
    for run in parent_runs(sweep):
        client = mlflow.MlflowClient(f"sqlite:///{sweep.folder}/mlruns/mlflow.db")
        names = {Path(entry.path).name for entry in client.list_artifacts(run.info.run_id)}
        assert {"verdict.json", "config.yaml"} <= names


@pytest.mark.slow
def test_an_interrupted_stage_goes_on(sweep: Sweep) -> None:
    words = (*SMALL, "certify.ladder=[2,4]", "certify.seeds=2", "train.steps=12")
    process = sweep.start(*words)
    wait_until(lambda: bool(seeds_by_rank(sweep)), process, "a certify trial")
    code, text = finish(process, signal.SIGTERM)
    assert code == 130, text
    finished = {file: file.stat().st_mtime_ns for file in sweep.trial_results()}
    done = sweep.run_here(*words)
    assert done.returncode == 0, done.stdout
    assert seeds_by_rank(sweep) == {2: {1, 2}, 4: {1, 2}}
    assert {file: file.stat().st_mtime_ns for file in finished} == finished


@pytest.mark.slow
def test_rate_tuning_ends_when_the_best_rate_is_out_of_range(sweep: Sweep) -> None:
    """The tiny model learns best with rates far above these, so each rank's best lies at the edge."""
    range_ = ("search.space.learning_rate.low=1e-4", "search.space.learning_rate.high=1e-3", "train.learning_rate=3e-4")
    done = sweep.run_here(*SMALL, *range_, "certify.rate_trials=6", "certify.seeds=1", "engine.slots=1")
    assert done.returncode == 0, done.stdout
    rates = [(spec["arm"]["rank"], spec["arm"]["learning_rate"]) for spec in by_stage(sweep)["rates on tune"]]
    assert len(set(rates)) == len(rates) == 6
    assert len(sweep.trial_runs("complete")) == len(sweep.trial_results())


@pytest.mark.slow
def test_the_first_signal_stops_a_replay_of_known_trials(sweep: Sweep) -> None:
    words = ("search.trials=16", "search.sampler=random", "train.steps=1", "evaluate.answers=none")
    assert sweep.run_here(*words).returncode == 0
    runs = len(sweep.runs())
    for file in (sweep.folder / "mlruns").glob("optuna.db*"):
        file.unlink()
    tell, told = SearchStudy.tell, []

    def stopping(study: SearchStudy, *about: Any) -> None:
        tell(study, *about)
        told.append(about)
        if len(told) == 3:
            signal.raise_signal(signal.SIGTERM)

    with patch.object(SearchStudy, "tell", stopping):
        stopped = sweep.run_here(*words)
    assert stopped.returncode == 130, stopped.stdout
    assert "stopped by SIGTERM" in stopped.stdout
    assert len(told) == 3
    assert len(sweep.runs()) == runs + 5, "those of the sweep, of the base and of three trials"


@pytest.mark.slow
def test_a_spent_budget_ends_the_stage_undecided(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    spend_the_budget(monkeypatch, lambda: bool(seeds_by_rank(sweep)))
    # the first look is far away, so that no verdict ends the stage before the budget does
    words = ("certify.ladder=[2,4]", "certify.seeds=200", "certify.first_look=200", "budget.wall_clock=1h")
    done = sweep.run_here(*SMALL, *words)
    assert done.returncode == 0, done.stdout
    assert "budget.wall_clock=1 h 0 min is spent" in done.stdout
    assert "status: undecided" in done.stdout


@pytest.mark.slow
def test_one_seed_is_undecided(sweep: Sweep) -> None:
    """On a ladder of ranks outside the search space."""
    done = sweep.run_here(*SMALL, "certify.ladder=[3,7]", "certify.seeds=1")
    assert done.returncode == 0, done.stdout
    assert [rung["rank"] for rung in verdict(sweep)["ladder"]] == [3, 7]
    assert verdict(sweep)["status"] == "undecided"
    assert verdict(sweep)["reasons"]


def test_mistakes_are_reported_together_before_anything_is_trained(sweep: Sweep) -> None:
    mistakes = ("certify.seeds=0", "certify.ladder=[4,2]", "certify.rate_trials=0", "certify.margin=-1")
    done = sweep.run_here(*SMALL, *mistakes)
    assert done.returncode == 2, done.stdout
    for mistake in mistakes:
        assert mistake.partition("=")[0] in done.stdout
    assert sweep.trial_results() == []


@pytest.mark.slow
def test_a_study_without_answers_has_losses_and_no_metric(sweep: Sweep) -> None:
    made = sweep.run_here(*SMALL, "certify.ladder=[2,4]", "certify.seeds=2", "evaluate.answers=none")
    assert made.returncode == 0, made.stdout
    assert "ranks were not compared in it" in " ".join(made.stdout.split())
    written = verdict(sweep)
    assert all(rung["metrics"] == {} for rung in written["ladder"])
    assert all(score["loss"] > 0 for score in written["test"].values())
    assert not [name for run in sweep.runs() for name in run.data.metrics if "exact_match" in name]


def trained_adapters(made: Sweep) -> set[str]:
    """The adapters on disk, each with the time it was trained."""
    files = (made.folder / "mlruns/adapters").glob("*/*/training.json")
    return {f"{file.parent.name} {file.stat().st_mtime_ns}" for file in files}


@pytest.mark.slow
def test_more_examples_another_metric_and_more_seeds_train_nothing_again(sweep: Sweep) -> None:
    words = (*SMALL, "certify.ladder=[2,4]", "certify.seeds=2", "evaluate.certify_examples=5")
    first = sweep.run_here(*words)
    assert first.returncode == 0, first.stdout
    trained = trained_adapters(sweep)
    before = verdict(sweep)
    assert before["base"]["examples"] == 5

    more = sweep.run_here(*words, "evaluate.certify_examples=8")
    assert more.returncode == 0, more.stdout
    assert "evaluated again" in more.stdout
    assert trained_adapters(sweep) == trained
    assert verdict(sweep)["base"]["examples"] == 8
    assert [row["seeds"] for row in verdict(sweep)["ladder"]] == [2, 2]
    assert [row["mean"] for row in verdict(sweep)["ladder"]] != [row["mean"] for row in before["ladder"]]

    other = sweep.run_here(*words, "evaluate.certify_examples=8", "task.metric=token_f1")
    assert other.returncode == 0, other.stdout
    assert trained_adapters(sweep) == trained
    assert verdict(sweep)["primary_metric"] == "token_f1"
    assert all("token_f1" in row["metrics"] for row in verdict(sweep)["ladder"])
    assert "token_f1" in verdict(sweep)["test"]["base"]["metrics"]

    seeds = sweep.run_here(*words, "evaluate.certify_examples=8", "task.metric=token_f1", "certify.seeds=3")
    assert seeds.returncode == 0, seeds.stdout
    assert trained_adapters(sweep) > trained
    assert len(trained_adapters(sweep)) == len(trained) + 2
    nothing = sweep.run_here(*words, "evaluate.certify_examples=8", "task.metric=token_f1", "certify.seeds=3")
    assert nothing.returncode == 0, nothing.stdout
    assert "evaluated again" not in nothing.stdout
    assert outcome(nothing.stdout) == outcome(seeds.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("ladder_by", "made"), [("train", "trained"), ("cut", "cut")])
def test_a_missing_adapter_of_the_report_is_made_again(sweep: Sweep, ladder_by: str, made: str) -> None:
    # with this margin the smaller rank is chosen
    words = (
        *SMALL,
        "certify.ladder=[2,4]",
        "certify.seeds=2",
        "certify.first_look=2",
        "certify.margin=0.9",
        "train.steps=20",
        "evaluate.certify_examples=12",
        f"certify.ladder_by={ladder_by}",
    )
    first = sweep.run_here(*words)
    assert first.returncode == 0, first.stdout
    handed_out = sweep.folder / "mlruns/reports/faults/adapter/adapter_model.safetensors"
    weights = handed_out.read_bytes()
    shutil.rmtree(sweep.folder / "mlruns/adapters")
    kept = sweep.run_here(*words)  # the report still has it
    assert kept.returncode == 0, kept.stdout
    assert "which this study hands out, is gone" not in kept.stdout
    shutil.rmtree(handed_out.parent)
    again = sweep.run_here(*words)
    assert again.returncode == 0, again.stdout
    assert f"which this study hands out, is gone; it is {made} again" in again.stdout
    assert handed_out.read_bytes() == weights
    assert outcome(again.stdout) == outcome(first.stdout)
