"""`plan --measure`: a few steps of a study's own recipe, on its own base and by its own workers, so that later plans know their seconds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sweep.commands.planning.outlook import CALIBRATION
from sweep.commands.planning.speeds import busy_words
from sweep.commands.planning.timetable import ladder_arms, slots_of
from sweep.config.cores import available_cores
from sweep.config.units import show_seconds
from sweep.errors import NoTrialSucceeded
from sweep.records import Arm, Stage, StudyPlan, TrialSpec
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.display import Silent
from sweep.study.session import Session
from sweep.study.stopping import StopRequest
from sweep.study.study_run import StudyRun
from sweep.study.worker_pool import worker_pool
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import SweepRun
from tasks import Splits

STEPS = 6
EXAMPLES = 12
"""Tune examples that each is evaluated on."""

_MADE_AGAIN = ("trials", "adapters", "scores")


def measure(plan: StudyPlan, splits: Splits, paths: Paths) -> str:
    """Trains short trials, and keeps them in a folder of their own, instead of those of an earlier measurement.

    Nothing else of `mlruns` changes, but that the base is fetched if it is not there. Returns what was done, in words.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: the base cannot be loaded or does not fit the plan.
        NoTrialSucceeded: no trial could be trained.
        Interrupted: a signal ended it.
    """
    busy = busy_words(available_cores())
    place = _prepared(paths)
    short = short_plan(plan)
    started, done = time.monotonic(), 0
    print(
        f"measuring: {STEPS} steps of each recipe on {plan.setup.model.name} ({plan.setup.quant.name}) ...", flush=True
    )
    reasons = []
    with StopRequest().listening() as stop, worker_pool(short, place, splits.data_hash) as pool:
        place.log(short.name).parent.mkdir(parents=True, exist_ok=True)
        pool.start()
        loaded = pool.load(stop.check, lambda text: print(text, flush=True))
        pool.start_all()
        tracker = MemoryTracker()
        parent = tracker.open_sweep(SweepRun(study=short.name, config_yaml=short.config))
        with Session(pool, tracker, parent, TrialStore(place), Silent(), stop) as session:
            run = StudyRun(short, place, Silent(), session, loaded)
            for trial in session.run(_specs(run, plan)):
                done += trial.is_complete and trial.arm is not None
                reasons += [f"{trial.name}: {trial.reason}"] if not trial.is_complete else []
    if not done:
        raise NoTrialSucceeded("\n".join(["no training could be measured:", *(f"  {reason}" for reason in reasons)]))
    seconds = show_seconds(time.monotonic() - started)
    slow = f"When it began, {busy}: measure again when they have ended. " if busy is not None else ""
    return (
        f"Measured {done} trainings of {STEPS} steps in {seconds}; they are kept in {paths.root.name}/{CALIBRATION} for later plans. "
        f"{slow}Nothing else was trained or written."
    )


def short_plan(plan: StudyPlan) -> StudyPlan:
    """The plan with few steps and few examples; all else that decides on speed is as it is."""
    scoring = replace(plan.setup.scoring, examples=min(EXAMPLES, plan.setup.scoring.examples))
    training = replace(plan.training, steps=STEPS, early_stopping=0)
    return replace(plan, setup=replace(plan.setup, scoring=scoring), training=training)


def measured_arms(plan: StudyPlan) -> list[Arm]:
    """The arms of a ladder of arms and of several methods once each; else the recipe, as often as trials run at the same time."""
    if plan.certify and plan.declaration.arms:
        return ladder_arms(plan)
    if plan.methods:
        return [each.arm for each in plan.methods]
    return [plan.arm] * (plan.workers * min(slots_of(plan), 2))


def _specs(run: StudyRun, plan: StudyPlan) -> Iterator[TrialSpec]:
    for seed, arm in enumerate(measured_arms(plan)):
        yield run.spec(Stage.SINGLE, arm, plan.seed + seed)


def _prepared(paths: Paths) -> Paths:
    """The folder of the measurement, without the trials of an earlier one, and with the models of `mlruns`."""
    place = Paths(paths.root / CALIBRATION)
    for name in _MADE_AGAIN:
        shutil.rmtree(place.root / name, ignore_errors=True)
    place.root.mkdir(parents=True, exist_ok=True)
    paths.models.mkdir(exist_ok=True)
    if not place.models.exists():
        place.models.symlink_to(Path("..") / paths.models.name, target_is_directory=True)
    return place
