"""Speeds come from what trials took here, as seconds per operation, so that other lengths and counts scale."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.expected import expected_words
from sweep.commands.planning.outlook import device_words
from sweep.commands.planning.recorded import TimedTrial, recorded_speeds, speeds_from, timed_trials
from sweep.commands.planning.speeds import ANSWERING, BASE, SCORING, TRAINING
from sweep.commands.planning.workload import CharacterEncoder, Workload
from sweep.records import Arm, ExampleOutcome, Provenance, Split, Stage, StudyPlan, TrialResult
from sweep.reports.forecast import plan_line
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.training.splits import load_splits
from tasks import Example
from tests.commands.planning.test_timetable import LOAD
from tests.conftest import arm, measures, result

FACTS = BaseFacts(parameters=1000, body=1000, head=100)
DEVICE = "cpu (here)"
EXAMPLES = [Example(f"question {number}", f"answer {number}") for number in range(8)]


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    return composed_plan(["task=pharma", "model=tiny", "executor.threads=1"])


def store_trial(paths: Paths, plan: StudyPlan, recipe: Arm | None, seconds: float, **about: object) -> TrialResult:
    """A finished trial that trained for so many seconds, in the store."""
    known = replace(
        measures(1.0),
        examples=len(EXAMPLES),
        train_seconds=seconds,
        tokens_per_second=20_000 / seconds,
        phases={"score": 2.0, "answer": 1.0, "general": 0.5},
    )
    plain = result(recipe, 1.0)
    split = about.pop("split", Split.TUNE)
    stage = Stage.CERTIFY if split is Split.CERTIFY else Stage.EXPLORE
    spec = replace(
        plain.spec,
        identity=f"{about.pop('number', 0):032x}",
        stage=Stage.BASE if recipe is None else stage,
        split=split,
        seed=about.pop("seed", 0),
    )
    provenance = Provenance({}, str(about.pop("device", DEVICE)), "made", "b", "d", int(str(about.pop("threads", 1))))
    setup = replace(plan.setup, **about)  # type: ignore[arg-type]
    ended = replace(plain, spec=spec, measures=known, provenance=provenance)
    outcomes = [ExampleOutcome(1.0, 3, example.completion, 1.0) for example in EXAMPLES]
    TrialStore(paths).save(ended, setup, EXAMPLES, outcomes)
    return ended


def timed(paths: Paths, plan: StudyPlan, load: Workload = LOAD) -> list[TimedTrial]:
    return list(timed_trials(paths, plan, DEVICE, FACTS, load, CharacterEncoder()))


def test_seconds_per_operation(tmp_path: Path, plan: StudyPlan) -> None:
    paths = Paths(tmp_path / "mlruns")
    store_trial(paths, plan, arm(8), 40.0)
    (trial,) = timed(paths, plan)
    assert (trial.method, trial.unlike, trial.quant) == ("lora", (), "nf4")
    assert 0 < trial.work[TRAINING] < 4 * (1000 * 20_000 + 100 * 20_000)
    assert trial.per_operation(TRAINING) == 40.0 / trial.work[TRAINING]
    speeds = recorded_speeds([trial], "packed")
    assert speeds is not None
    ia3 = replace(arm(0, targets=()), method="ia3")
    assert speeds.of(TRAINING, arm(16)) == speeds.of(TRAINING, ia3) == trial.per_operation(TRAINING)
    assert speeds.of(ANSWERING, None) == trial.per_operation(ANSWERING)
    assert speeds.source == "1 training recorded here"


def test_another_machine_or_base_says_nothing(tmp_path: Path, plan: StudyPlan) -> None:
    paths = Paths(tmp_path / "mlruns")
    store_trial(paths, plan, arm(8), 40.0, number=1, device="an accelerator")
    store_trial(paths, plan, arm(8), 40.0, number=2, model=replace(plan.setup.model, id="another"))
    store_trial(paths, plan, None, 40.0, number=3)
    assert [trial.method for trial in timed(paths, plan)] == [BASE]
    assert recorded_speeds(timed(paths, plan), "packed") is None
    assert recorded_speeds(timed(Paths(tmp_path / "none"), plan), "packed") is None


def test_trials_most_like_the_plans_are_taken(tmp_path: Path, plan: StudyPlan) -> None:
    paths = Paths(tmp_path / "mlruns")
    store_trial(paths, plan, arm(8), 40.0, number=1, engine="trainer")
    store_trial(paths, plan, arm(8), 99.0, number=2, threads=4)
    first = recorded_speeds(timed(paths, plan), "packed")
    assert first is not None
    assert first.source == "1 training recorded here with another engine"
    store_trial(paths, plan, arm(8), 20.0, number=3)
    second = recorded_speeds(timed(paths, plan), "packed")
    assert second is not None
    assert second.source == "1 training recorded here"
    assert second.spread < first.spread


def test_more_threads_are_faster(tmp_path: Path, plan: StudyPlan) -> None:
    """`sweep.train` has all cores, a study's workers share them: its trials take longer than what was recorded."""
    paths = Paths(tmp_path / "mlruns")
    store_trial(paths, plan, arm(8), 20.0, threads=2)
    speeds = recorded_speeds(timed(paths, plan), "packed")
    assert speeds is not None
    assert speeds.source == "1 training recorded here with another number of threads"
    store_trial(Paths(tmp_path / "other"), plan, arm(8), 20.0)
    alike = recorded_speeds(timed(Paths(tmp_path / "other"), plan), "packed")
    assert alike is not None
    for part in (TRAINING, SCORING, ANSWERING):
        assert 1.7 < speeds.of(part, arm(8)) / alike.of(part, arm(8)) < 2


def test_a_busy_moment_moves_the_spread_and_not_the_middle() -> None:
    def trial(seconds: float) -> TimedTrial:
        return TimedTrial("lora", (), result(arm(8), 1.0), "nf4", {TRAINING: seconds}, {TRAINING: 1.0})

    calm = [trial(seconds) for seconds in (10.0, 10.0, 10.1, 9.9)]
    busy = [*calm, trial(80.0)]
    slow, usual = (speeds_from(each, each, (), "packed") for each in (busy, calm))
    assert slow.of(TRAINING, arm(8)) == usual.of(TRAINING, arm(8)) == 10.0
    assert slow.spread > usual.spread
    assert usual.of(SCORING, None) == pytest.approx(10.0 * 0.62 / 0.68)


def test_a_damaged_trial_is_left_out(tmp_path: Path, plan: StudyPlan) -> None:
    paths = Paths(tmp_path / "mlruns")
    ended = store_trial(paths, plan, arm(8), 40.0)
    (paths.trial(ended.spec.identity) / "config.yaml").write_text(": {")
    assert timed(paths, plan) == []


def test_a_new_study_begins_with_what_others_let_expect(tmp_path: Path, plan: StudyPlan) -> None:
    paths = Paths(tmp_path / "mlruns")
    splits = load_splits(plan.setup.task, paths)
    assert expected_words(plan, splits, paths) is None
    on_cpu = replace(plan, setup=replace(plan.setup, device="cpu"))
    store_trial(paths, on_cpu, arm(8), 40.0, device=device_words(on_cpu))
    words = expected_words(on_cpu, splits, paths)
    assert words is not None
    assert words.startswith("about ")
    assert words.endswith(" (expected from 1 training recorded here)")
    assert plan_line(on_cpu, None, words).endswith(words)


def test_the_first_line_of_a_study_loads_no_torch() -> None:
    code = "import sys, sweep.commands.planning.expected; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
