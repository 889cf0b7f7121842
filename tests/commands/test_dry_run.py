"""`dry_run=true`: the plan is printed, nothing is trained or written."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.plan import show_study_plan, show_trial_plan
from sweep.config.load import plan_of_record
from sweep.records import StudyPlan

WORDS = ("study.name=dry", "model=tiny", "task=jsonl", "task.metric=exact_match", "train.steps=4", "certify.seeds=5")


def plan(made_task: Path, *overrides: str) -> StudyPlan:
    return composed_plan([*WORDS, f"task.path={made_task}", *overrides])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, made_task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_a_new_study(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_study_plan(plan(made_task, "search.trials=3"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Study dry: ")
    assert "search   3 search trials" in map(str.rstrip, lines)
    assert "verdict  3 to 5 trainings at rank 32, cut to 5 smaller ranks each" in map(str.rstrip, lines)
    assert any(line.startswith("Time is unknown: ") for line in lines)
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("  data      train 24, tune ") for line in lines)
    assert "  results   mlruns/reports/dry/index.html, records in mlruns" in lines
    assert lines[-1] == "Nothing was trained or written."
    assert list(Path.cwd().iterdir()) == []


def test_a_search_over_methods(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_study_plan(plan(made_task, "search.space.method=[lora,prompt_tuning]", "certify=none", "search.trials=6"))
    lines = capsys.readouterr().out.splitlines()
    assert "search  6 search trials over lora, prompt_tuning" in map(str.rstrip, lines)
    assert "  prompt_tuning learning rate 0.01 to 0.3; tokens 4, 8, 16, 32" in lines
    assert any(
        line.startswith("  lora      learning rate 0.001 to 0.01; rank 2, 4, 8, 16, 32; alpha / rank") for line in lines
    )


def test_a_ladder_of_trained_ranks(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_study_plan(plan(made_task, "certify.ladder_by=train", "certify.ladder=[2,4,8,16,32]"))
    lines = capsys.readouterr().out.splitlines()
    assert "verdict  15 to 25 trials for the verdict (5 ranks, 3 to 5 seeds each)" in map(str.rstrip, lines)


def test_a_rank_that_is_to_be_confirmed(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_study_plan(plan(made_task, "certify.confirm=true"))
    text = " ".join(capsys.readouterr().out.split())
    assert " trainings to confirm the chosen rank, those that tune its learning rate included" in text


def test_epochs_are_resolved(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in WORDS if not word.startswith("train.steps")]
    show_study_plan(composed_plan([*words, f"task.path={made_task}", "train.epochs=2", "train.batch_size=4"]))
    assert "  training  12 steps, 48 examples per trial" in capsys.readouterr().out.splitlines()


def test_a_single_trial(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_trial_plan(plan(made_task, "lora.r=4"))
    assert (
        "  arm       rank 4, alpha 8, dropout 0, learning rate 0.003, lora, on q_proj, v_proj"
        in capsys.readouterr().out
    )


def test_the_limits_of_a_task_are_said(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limited = plan(made_task, "task.limits=no medical advice")
    show_study_plan(limited)
    show_trial_plan(limited)
    assert capsys.readouterr().out.splitlines().count("  limits    no medical advice") == 2


@pytest.mark.parametrize(
    ("each", "words"), [(1, "8, one on each GPU, each with"), (4, "8, up to 4 on each GPU, each with")]
)
def test_where_the_workers_train(each: int, words: str, made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = plan(made_task)
    setup = replace(known.setup, device="cuda", workers_on_device=each)
    show_study_plan(replace(known, workers=8, setup=setup))
    assert f"  workers   {words}" in capsys.readouterr().out


def test_it_is_not_recorded_with_a_study(made_task: Path) -> None:
    dry, real = plan(made_task, "dry_run=true"), plan(made_task)
    assert (dry.dry_run, real.dry_run) == (True, False)
    assert dry.config == real.config
    assert plan_of_record(real.config).dry_run is False


@pytest.mark.parametrize(
    ("module", "more"), [("sweep", "dry_run=true"), ("sweep.train", "dry_run=true"), ("sweep.plan", "seed=0")]
)
def test_the_command_writes_nothing(made_task: Path, module: str, more: str) -> None:
    words = [sys.executable, "-m", module, *WORDS, f"task.path={made_task}", more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Nothing was trained or written.\n")
    assert list(Path.cwd().iterdir()) == []


def test_warnings_about_the_data(made_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = made_task / "train.jsonl"
    first = train.read_text().splitlines()[0]
    train.write_text(f"{train.read_text()}{first}\n")
    for show in (show_study_plan, show_trial_plan):
        show(plan(made_task))
        assert "  warnings  train.jsonl: 1 row repeated: train.jsonl:25 = train.jsonl:1" in capsys.readouterr().out
