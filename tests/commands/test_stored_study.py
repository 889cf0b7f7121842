"""A study that an earlier version finished: its records give the same verdict, and it can be continued."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.faults.in_process import run_here

STORED = Path(__file__).parents[1] / "stored"
COMMAND = [
    "study.name=stored",
    "model=tiny",
    "task=jsonl",
    "task.path=data",
    "task.metric=exact_match",
    "train.steps=24",
    "train.batch_size=4",
    "train.learning_rate=2e-2",
    "search.space.learning_rate.low=5e-3",
    "search.space.learning_rate.high=8e-2",
    "search.trials=3",
    "search.space.rank=[2,4]",
    "search.space.targets=[all_linear]",
    "lora.targets=all_linear",
    "evaluate.examples=12",
    "evaluate.certify_examples=12",
    "evaluate.test_examples=10",
    "evaluate.general_paragraphs=1",
    "evaluate.max_new_tokens=6",
    "executor.workers=1",
    "executor.threads=1",
    "certify.ladder=[2,4]",
    "certify.seeds=3",
    "certify.rate_trials=2",
    "certify.margin=0.2",
    "tracking.uri=memory://",
]
DECIDED = ("status", "rank", "bracket", "margin", "margin_in_loss", "alpha", "ladder", "test", "forgetting", "trials")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with the stored study and its data."""
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    return tmp_path


def continued(folder: Path, *words: str) -> str:
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed
    return printed


def verdict(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "mlruns/reports/stored/verdict.json").read_text())
    return loaded


def decided(folder: Path) -> dict[str, Any]:
    """The keys of an earlier verdict.json; later versions may add keys."""
    return {key: value for key, value in verdict(folder).items() if key in DECIDED}


@pytest.mark.slow
def test_its_report_says_the_same(stored: Path) -> None:
    before = decided(stored)
    words = [sys.executable, "-m", "sweep.report", "study=stored"]
    done = subprocess.run(words, cwd=stored, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    after = decided(stored)
    for row, earlier in zip(after["ladder"], before["ladder"], strict=True):
        assert row.items() >= earlier.items()
    assert after["test"].keys() == before["test"].keys()
    for name, scores in after["test"].items():
        assert scores.items() >= before["test"][name].items()
    assert {**after, "ladder": before["ladder"], "test": before["test"]} == before


def test_the_same_command_trains_nothing(stored: Path) -> None:
    before = decided(stored)
    printed = continued(stored, *COMMAND)
    assert "certify 1 of" not in printed
    assert "trial 1 of" not in printed
    assert "with every rank trained from the start, and goes on so" in " ".join(printed.split())
    assert decided(stored)["rank"] == before["rank"]


def test_it_goes_on_with_another_seed(stored: Path) -> None:
    trained = {str(file) for file in stored.glob("mlruns/trials/*/*/adapter")}
    words = [word.replace("certify.seeds=3", "certify.seeds=4") for word in COMMAND]
    printed = continued(stored, *words)
    assert "certify 7 of 8" in printed, printed
    assert {row["seeds"] for row in verdict(stored)["ladder"]} == {4}
    assert {str(file) for file in stored.glob("mlruns/trials/*/*/adapter")} >= trained


@pytest.mark.slow
def test_more_examples_and_another_metric_train_nothing(stored: Path) -> None:
    weights = "adapter/adapter_model.safetensors"
    trained = {file.read_bytes() for file in stored.glob(f"mlruns/trials/*/*/{weights}")}
    words = [word for word in COMMAND if not word.startswith(("task.metric", "evaluate.certify_examples"))]
    printed = continued(stored, *words, "task.metric=token_f1", "evaluate.certify_examples=20")
    assert "new study" not in printed
    assert {file.read_bytes() for file in stored.glob(f"mlruns/adapters/*/*/{weights}")} <= trained
    after = verdict(stored)
    assert after["base"]["examples"] == 20
    assert after["primary_metric"] == "token_f1"
    assert {row["seeds"] for row in after["ladder"]} == {3}
