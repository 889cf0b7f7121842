"""What a person does with `python -m sweep` and `sweep.train`, on a tiny model, each once."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from tasks.splits import place
from tests.faults.conftest import Sweep, spend_the_budget, sweep

__all__ = ["sweep"]  # the fixture

ONE_RANK = (
    "search.space.rank=[8]",
    "search.space.targets=[q_v]",
    "search.space.alpha_ratio=[2.0]",
    "search.space.dropout=[0.0]",
)


def threads_of(made: Sweep) -> set[int]:
    return {json.loads(file.read_text())["provenance"]["threads"] for file in made.trial_results()}


@pytest.mark.slow
def test_two_workers_share_the_cores(sweep: Sweep) -> None:
    done = sweep.run(
        "executor.workers=2", "executor.threads=null", "search.trials=4", "search.space.rank=[2,4,8,16,32,64]"
    )
    assert done.returncode == 0, done.stdout
    assert len(sweep.trained()) == 4
    cores = len(os.sched_getaffinity(0))
    assert threads_of(sweep) == {max(1, cores // 2)}


@pytest.mark.slow
def test_a_pruned_trial_ends_as_such(sweep: Sweep) -> None:
    done = sweep.run_here(
        *ONE_RANK,
        "pruner=percentile",
        "search.pruner_options.percentile=0.1",
        "search.pruner_options.n_startup_trials=1",
        "train.steps=10",
        "train.learning_rate=1e-2",
        "search.space.learning_rate.low=1e-4",
        "search.trials=4",
        "sampler=random",
    )
    assert done.returncode == 0, done.stdout
    pruned = sweep.trial_runs("pruned")
    assert pruned, done.stdout
    assert all(
        run.info.status == "KILLED" and "trailed arms of rank 8" in run.data.tags["sweep.reason"] for run in pruned
    )
    assert all("eval/report_loss" in run.data.metrics for run in pruned)


@pytest.mark.slow
def test_the_budget_ends_a_study_in_order(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    spend_the_budget(monkeypatch, lambda: bool(sweep.trained()))
    done = sweep.run_here("budget.wall_clock=1h", "search.trials=200")
    assert done.returncode == 0, done.stdout
    assert "budget.wall_clock=1 h 0 min is spent" in done.stdout
    assert 1 <= len(sweep.trained()) < 200


@pytest.mark.slow
def test_a_budget_too_small_for_a_trial_is_no_failure(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    spend_the_budget(monkeypatch, lambda: True)
    done = sweep.run_here("budget.wall_clock=1h")
    assert done.returncode == 0, done.stdout
    assert "are left for another run" in done.stdout
    assert sweep.trained() == []


@pytest.mark.slow
def test_a_data_set_of_csv_files(sweep: Sweep, tmp_path: Path) -> None:
    folder = tmp_path / "csv"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        rows = [json.loads(line) for line in (sweep.data / f"{split}.jsonl").read_text().splitlines()]
        with (folder / f"{split}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "colour"])
            writer.writerows([row["prompt"], row["completion"]] for row in rows)
    done = sweep.run_here(
        "task=hub",
        f"task.dataset={folder}",
        "task.template='Which colour? {text}'",
        "task.completion_column=colour",
        "task.path=null",
        "search.trials=1",
    )
    assert done.returncode == 0, done.stdout
    scores = next(iter(sweep.trained())).with_name("scores.jsonl").read_text().splitlines()
    assert all(json.loads(line)["prompt"].startswith("Which colour? ") for line in scores)


@pytest.mark.slow
def test_hydras_own_sweeper_runs_trials_and_the_same_question_is_not_trained_twice(sweep: Sweep) -> None:
    done = sweep.run("-m", "lora.r=4,8", module="sweep.train")
    assert done.returncode == 0, done.stdout
    assert len(sweep.trained()) == 2
    times = {file: file.stat().st_mtime_ns for file in sweep.trained()}
    again = sweep.run_here("lora.r=4", module="sweep.train")
    assert again.returncode == 0, again.stdout
    assert {file: file.stat().st_mtime_ns for file in sweep.trained()} == times
    assert len(sweep.trial_runs("complete")) == 3


@pytest.mark.parametrize("engine", ["packed", pytest.param("trainer", marks=pytest.mark.slow)])
def test_another_method_from_its_name_to_the_adapter(sweep: Sweep, engine: str) -> None:
    words = ["method=rslora_plus", "method.loraplus_lr_ratio=4", "lora.r=4", f"engine={engine}"]
    done = sweep.run_here(*words, module="sweep.train")
    assert done.returncode == 0, done.stdout
    (result,) = sweep.trained()
    spec = json.loads(result.read_text())["spec"]
    arm = spec["arm"]
    assert (arm["method"], arm["loraplus_lr_ratio"]) == ("rslora_plus", 4.0)
    folder = sweep.folder / "mlruns/adapters" / spec["adapter"][:2] / spec["adapter"] / "adapter"
    adapter = json.loads((folder / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"], adapter["use_rslora"]) == (4, 8.0, True)
    (run,) = sweep.trial_runs("complete")
    assert run.data.params["method"] == "rslora_plus"
    assert run.data.params["method.loraplus_lr_ratio"] == "4.0"


@pytest.mark.slow
def test_a_target_that_the_model_lacks_is_told_before_training(sweep: Sweep) -> None:
    done = sweep.run_here("model.linear_modules=[]", "search.space.targets=[q_v,'k_porj']")
    assert done.returncode == 2, done.stdout
    assert "no linear module named 'k_porj'; did you mean 'k_proj'?" in done.stdout
    assert sweep.trial_results() == []


@pytest.mark.slow
@pytest.mark.parametrize("quant", ["none", "int8"])
def test_other_storages_of_the_base(sweep: Sweep, quant: str) -> None:
    done = sweep.run_here(f"quant={quant}", module="sweep.train")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_too_long_examples_are_counted_and_named(sweep: Sweep) -> None:
    with (sweep.data / "train.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "x" * 400, "completion": "red"}) + "\n")
    done = sweep.run_here("task.max_length=200", module="sweep.train")
    assert done.returncode == 0, done.stdout
    assert "train: 1 of 25 examples are longer than 200 tokens and are left out (numbers 25)" in done.stdout


@pytest.mark.slow
def test_a_certify_split_that_does_not_fit_is_said_before_anything_is_trained(sweep: Sweep) -> None:
    rows = [json.loads(line) for line in (sweep.data / "validation.jsonl").read_text().splitlines()]
    for row in rows:
        if place(row["prompt"], salt="tune") >= 0.5:  # on certify
            row["completion"] = "red " * 200
    (sweep.data / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = sweep.run_here("certify.enabled=true")
    assert done.returncode == 2, done.stdout
    assert "certify: 0 examples of 512 tokens or fewer" in done.stdout
    assert "raise task.max_length" in done.stdout
    assert not sweep.trained()
    searched = sweep.run_here("search.trials=1")
    assert searched.returncode == 0, searched.stdout
    assert "certify: 11 of 11 examples are longer than 512 tokens and are left out" in searched.stdout
