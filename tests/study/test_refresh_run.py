"""The trials of a refresh: none begins that would not end within the budget, and each adapter that is trained is recorded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.commands.app import composed_plan
from sweep.records import Provenance, Split, Stage, TrainedAdapter
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from sweep.study.display import Silent
from sweep.study.refresh_run import RefreshRun
from sweep.study.study_run import BudgetSpent
from tests.study.instant import InstantPool, session_on
from tests.study.test_checks import LOADED


@pytest.fixture
def run(made_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RefreshRun]:
    """A run with a budget of 100 seconds, given how many are used; the champion took 20 seconds to train. Its clock stands still."""
    monkeypatch.setattr("sweep.study.study_run.time", SimpleNamespace(monotonic=lambda: 1000.0))
    plan = composed_plan(["study.name=s", "model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"])
    paths = Paths(tmp_path / "mlruns")
    provenance = Provenance({}, "cpu", "made", LOADED.base_hash, LOADED.data_hash, 1)
    # a cut one: its own seconds are those of cutting
    champion = TrainedAdapter(
        "a", plan.arm, plan.training, 0, 1, "", 1, 1, 1, 0.0, 1.0, provenance, phases={"train": 20.0}
    )

    def begun(used: float = 0.0, wall_clock: float | None = 100.0) -> RefreshRun:
        return RefreshRun(
            replace(plan, wall_clock=wall_clock),
            paths,
            Silent(),
            session_on(InstantPool(), paths.root),
            LOADED,
            1000.0 - used,
            steps=RefreshLog(paths.refresh_log("s")),
            champion=champion,
        )

    return begun


def test_a_challenger_that_does_not_fit_is_not_begun(run: Callable[..., RefreshRun]) -> None:
    late = run(used=85.0)
    challenger = late.spec(Stage.RATES, late.plan.arm, 0, answers=False)
    base = late.spec(Stage.BASE, None, 0, split=Split.TUNE, answers=False)
    scored = replace(late.spec(Stage.SINGLE, late.plan.arm, 0, answers=False, adapter_of="b" * 32), adapter="a")
    assert [trial.spec for trial in late.run_trials([base, scored])] == [base, scored]
    with pytest.raises(BudgetSpent, match=r"a trial takes 21 s.*the same command continues"):
        list(late.run_trials([challenger]))
    assert late.steps.steps() == []
    early = run(used=10.0)
    assert [trial.spec for trial in early.run_trials([challenger])] == [challenger]
    assert early.steps.adapters == [challenger.adapter]
    # the next one is expected to take as long as this one did, which was a second
    other = early.spec(Stage.RATES, early.plan.arm, 1, answers=False)
    assert len(list(run(used=98.0).run_trials([other]))) == 1
    with pytest.raises(BudgetSpent):
        list(run(used=99.5).run_trials([early.spec(Stage.RATES, early.plan.arm, 2, answers=False)]))
    assert len(list(run(used=500.0, wall_clock=None).run_trials([challenger]))) == 1


def test_an_adapter_is_recorded_once(run: Callable[..., RefreshRun]) -> None:
    made = run()
    trained = made.spec(Stage.RATES, made.plan.arm, 0, answers=False)
    tested = made.spec(Stage.CERTIFY, made.plan.arm, 0, split=Split.CERTIFY, answers=False)
    assert trained.adapter == tested.adapter
    assert len(list(made.run_trials([trained, tested]))) == 2
    (step,) = made.steps.steps()
    assert (step.event, step.adapter, step.data_hash) == (RefreshEvent.TRAINED, trained.adapter, LOADED.data_hash)
