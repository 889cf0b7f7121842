"""`python -m sweep.refresh` on data that change, with real training of a tiny model."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from sweep.store.refresh_log import RefreshLog
from tests.faults.conftest import Sweep, finish, sweep, wait_until

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


@pytest.mark.slow
def test_a_champion_follows_its_data(changing: Sweep) -> None:
    short = changing.run_here(*WORDS, "budget.wall_clock=1s", module="sweep.refresh")
    assert short.returncode == 0, short.stdout
    assert "the study is not finished" in short.stdout
    assert not entries(changing)
    first = changing.run_here(*WORDS, module="sweep.refresh")
    assert first.returncode == 0, first.stdout
    assert [entry["event"] for entry in entries(changing)] == ["verdict"]
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
    done = changing.run_here(*WORDS, module="sweep.refresh")
    assert done.returncode == 0, done.stdout
    assert "train: 48 added" in done.stdout
    assert [entry["event"] for entry in entries(changing)] == ["verdict", "promotion"], done.stdout
    promoted = entries(changing)[1]
    assert promoted["test"]["new"]["upper"] < 0
    assert promoted["test"]["old"]["upper"] < promoted["margin"]
    assert (promoted["tests"], promoted["promotions"]) == (1, 1)
    assert in_use(changing) == "0002"
    assert steps.adapters == [promoted["training"]["identity"]]
    assert not steps.is_open
    (point,) = [json.loads(line) for line in drift.read_text().splitlines() if line]
    assert point["condition"] == "worse"
    assert point["new"] > point["old"]
    assert (changing.folder / "mlruns/champions/faults/drift.svg").stat().st_size > 1000

    files = {file: file.stat().st_mtime_ns for file in changing.trial_results()}
    more = changing.run_here(*WORDS, module="sweep.refresh")
    assert "have not changed" in more.stdout
    assert {file: file.stat().st_mtime_ns for file in changing.trial_results()} == files
