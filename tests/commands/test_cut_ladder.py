"""A ladder that is cut from its largest rank, from the command line: run, killed, rerun, confirmed, trained instead."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Sweep, sweep

__all__ = ["sweep"]  # the fixture

LADDER = (
    "certify.enabled=true",
    "search.trials=1",
    "search.space.rank=[8]",
    "search.space.targets=[q_v]",
    "certify.rate_trials=1",
    "certify.ladder=[1,2,8]",
    "certify.seeds=2",
    "certify.margin=0.9",  # so that rank 1 is certified, whatever the tiny model learns
    "evaluate.certify_examples=8",
    "evaluate.test_examples=6",
    "train.steps=24",
    "train.learning_rate=2e-2",
    "search.space.learning_rate.high=8e-2",
)


def verdict(made: Sweep) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((made.folder / "mlruns/reports/faults/verdict.json").read_text())
    return loaded


def decided(made: Sweep) -> dict[str, Any]:
    """What the records decide, without what was timed and measured in this run."""
    written = verdict(made)
    rows = [
        {key: row[key] for key in ("rank", "state", "seeds", "mean", "upper_bound", "energy_kept", "learning_rate")}
        for row in written["ladder"]
    ]
    kept = ("status", "rank", "hands_out", "bracket", "ladder_by", "cut_from", "test", "adapter_config", "trials")
    return {**{key: written[key] for key in kept}, "ladder": rows}


def trials(made: Sweep, stage: str) -> dict[str, int]:
    """Name and time of writing of each finished trial of a stage."""
    specs = {file: json.loads(file.read_text())["spec"] for file in made.trial_results()}
    return {
        f"r{spec['arm']['rank']} of {spec['arm']['cut_from']} s{spec['seed']}": file.stat().st_mtime_ns
        for file, spec in specs.items()
        if spec["stage"] == stage
    }


def killed_when(made: Sweep, shown: str) -> None:
    """Runs the study and kills all its processes as soon as a line says this."""
    with subprocess.Popen(
        made.words(*LADDER),
        cwd=made.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert any(re.match(shown, line) for line in process.stdout), f"it never said {shown}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_cut_ladder_ends_as_if_it_had_never_been_killed(sweep: Sweep, tmp_path: Path) -> None:
    whole = Sweep(tmp_path / "whole", sweep.data)
    whole.folder.mkdir()
    done = whole.run_here(*LADDER)
    assert done.returncode == 0, done.stdout
    seeds, cuts = (1, 2), (1, 2)
    assert set(trials(whole, "certify")) == {
        *(f"r8 of None s{seed}" for seed in seeds),
        *(f"r{rank} of 8 s{seed}" for rank in cuts for seed in seeds),
    }
    assert set(trials(whole, "rates")) == {"r8 of None s0"}
    expected = decided(whole)
    assert (expected["status"], expected["ladder_by"], expected["cut_from"]) == ("certified", "cut", 8)
    assert "enough to ship: adapters cut to rank" in verdict(whole)["headline"]

    for shown in (r"rate trial 1 of", r"certify 1 of", r"cut \d of"):
        killed_when(sweep, shown)
    kept = trials(sweep, "certify")
    assert kept
    resumed = sweep.run_here(*LADDER)
    assert resumed.returncode == 0, resumed.stdout
    assert decided(sweep) == expected
    after = trials(sweep, "certify")
    assert {name: after[name] for name in kept} == kept, "what was finished is not made again"

    handed_out = json.loads((sweep.folder / "mlruns/reports/faults/adapter/adapter_config.json").read_text())
    assert handed_out["r"] == expected["hands_out"] == expected["adapter_config"]["r"]
    runs = sweep.runs()
    parents = [run for run in runs if "sweep.verdict.ladder_by" in run.data.tags]
    assert parents
    for parent in parents:
        assert parent.data.tags["sweep.verdict.ladder_by"] == parent.data.params["certify.ladder_by"] == "cut"
    energy = {run.data.params["lora.r"] for run in runs if "adapter/energy_kept" in run.data.metrics}
    assert energy >= {"1", "2"}


@pytest.mark.slow
def test_a_finished_study_is_confirmed_and_trained_without_repeating_anything(sweep: Sweep) -> None:
    first = sweep.run_here(*LADDER)
    assert first.returncode == 0, first.stdout
    answer, cut = decided(sweep), trials(sweep, "certify")
    rank = answer["rank"]
    assert rank < 8

    confirmed = sweep.run_here(*LADDER, "certify.confirm=true")
    assert confirmed.returncode == 0, confirmed.stdout
    assert set(trials(sweep, "confirm")) == {f"r{rank} of None s1", f"r{rank} of None s2"}
    assert set(trials(sweep, "rates")) == {"r8 of None s0", f"r{rank} of None s0"}
    assert trials(sweep, "certify") == cut
    assert verdict(sweep)["confirmation"]["seeds"] == 2
    assert {**decided(sweep), "trials": None} == {**answer, "trials": None}
    assert f"Trained at rank {rank} from the start (2 seeds" in " ".join(confirmed.stdout.split())

    trained = sweep.run_here(*LADDER, "certify.ladder_by=train")
    assert trained.returncode == 0, trained.stdout
    assert verdict(sweep)["ladder_by"] == "train"
    after = trials(sweep, "certify")
    assert {name: after[name] for name in cut} == cut, "the trainings of the largest rank are shared"
    assert verdict(sweep)["confirmation"] is None

    results = {file: file.stat().st_mtime_ns for file in sweep.trial_results()}
    again = sweep.run_here(*LADDER)
    assert again.returncode == 0, again.stdout
    assert {**decided(sweep), "trials": None} == {**answer, "trials": None}
    assert {file: file.stat().st_mtime_ns for file in sweep.trial_results()} == results, "nothing is trained"
