"""How long the report of a large study takes, from the records alone.

    python benchmarks/large_study.py [--trials 1000] [--folder DIR]

Makes a study of N trials (made-up losses, a real Optuna database, scores on disk) in DIR, or in a temporary folder, then
runs `python -m sweep.report study=large` in it twice, as a person would, and compares what it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import optuna

from benchmarks import stand_in
from sweep.commands.app import composed_plan
from sweep.records import (
    Arm,
    ExampleOutcome,
    Measures,
    Provenance,
    Split,
    Stage,
    Status,
    StepLoss,
    StudyPlan,
    TrialRecord,
    TrialResult,
    TrialSpec,
    loss_of,
    to_json,
)
from sweep.search.space import arm_of
from sweep.search.storage import open_storage
from sweep.search.study import SearchStudy
from sweep.store.identity import study_identity, trial_identity
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.next_step import EvaluateBase, Finish, FixRates, TakeLook, TrainLadder, TuneRates, next_step
from sweep.study.run import best_recipe
from tasks import Example

EXAMPLES = 150
AS_IN_A_SWEEP = 40


class MadeUp:
    """Results whose losses follow the law of `sweep.study.rates`, with noise."""

    def __init__(self, plan: StudyPlan, store: TrialStore) -> None:
        self._plan, self._store = plan, store
        self._chance = random.Random(0)  # noqa: S311 (no secret)

    def result(self, stage: Stage, arm: Arm | None, seed: int, split: Split = Split.TUNE) -> TrialResult:
        """The result of a trial; its scores and an adapter are on disk."""
        plan, chance = self._plan, self._chance
        identity = trial_identity(plan.setup, "base", "data", arm, plan.training, seed, split=split)
        spec = TrialSpec(identity, plan.name, stage, arm, plan.training, seed, split=split)
        loss = 2.8 if arm is None else 0.15 + 0.3 / arm.rank + chance.gauss(0, 0.004)
        tokens = [3 + number % 5 for number in range(EXAMPLES)]
        nats = [count * max(0.0, loss + chance.gauss(0, 0.05)) for count in tokens]
        measures = Measures(
            loss=sum(nats) / sum(tokens),
            metrics={plan.setup.task.metric: max(0.0, 0.9 - loss / 3)},
            examples=EXAMPLES,
            tokens=sum(tokens),
            peak_bytes=800_000_000,
            peak_above_base_bytes=100_000_000,
            base_bytes=90_000_000,
            adapter_bytes=230_000 * arm.rank if arm else 0,
            trainable_parameters=57_600 * arm.rank if arm else 0,
            trainable_fraction=0.0004 * arm.rank if arm else 0.0,
            train_seconds=100.0 if arm else 0.0,
            eval_seconds=20.0,
            tokens_per_second=340.0,
        )
        steps = range(1, plan.training.steps + 1) if arm else ()
        history = tuple(StepLoss(step, loss + 3 / step, arm.learning_rate) for step in steps) if arm else ()
        made = TrialResult(
            spec,
            Status.COMPLETE,
            measures=measures,
            history=history,
            started=1.7e9 + chance.random(),
            seconds=125.0,
            provenance=Provenance({"torch": "made up"}, "cpu", "made up", "base", "data", 2),
        )
        if split is not Split.TUNE or stage is Stage.EXPLORE:
            examples = [Example(prompt=f"prompt {n}", completion="yes") for n in range(EXAMPLES)]
            outcomes = [ExampleOutcome(nats[n], tokens[n], "no", float(n % 2)) for n in range(EXAMPLES)]
            if arm is not None:
                stand_in.leave_adapter(self._store.adapters, spec, made)
            self._store.save(made, plan.setup, examples, outcomes)
        return made


def make(trials: int) -> None:
    """A whole study under ./mlruns: explored, certified, scored on test."""
    plan = replace(
        composed_plan(
            ["study.name=large", f"search.trials={trials}", "sampler=random", "evaluate.certify_examples=200"]
        ),
        rate_trials=6,
    )
    paths = Paths.here()
    made = MadeUp(plan, TrialStore(paths))
    store = TrialStore(paths)
    study = SearchStudy(plan, open_storage(None, paths), study_identity(plan, "data"), "data")
    study.set_base(TrialRecord(-1, made.result(Stage.BASE, None, 0), "run-base"))
    _explored(plan, study, made)
    recipe = best_recipe(study.record())
    stored = study.certification(recipe)
    stored.begin(plan.declaration)

    def add(result: TrialResult) -> None:
        examples = store.outcomes(result.spec.identity) if result.spec.split is Split.CERTIFY else []
        nats, scores = tuple(e.nats for e in examples), tuple(e.score or 0.0 for e in examples)
        trial = TrialRecord(1, result, f"run-{result.spec.identity[:6]}", nats, scores)
        stored.add_trial(trial, [example.tokens for example in examples])

    while True:
        match next_step(plan, study.record()):
            case EvaluateBase():
                add(made.result(Stage.BASE, None, plan.seed, Split.CERTIFY))
            case TuneRates(pairs):
                for rank, rate in pairs:
                    add(made.result(Stage.RATES, replace(recipe, rank=rank, learning_rate=rate), plan.seed))
            case FixRates(choices):
                stored.set_rates(choices)
            case TrainLadder(arms):
                for arm, seed in arms:
                    add(made.result(Stage.CERTIFY, arm, seed, Split.CERTIFY))
            case TakeLook(seeds):
                stored.add_look(seeds)
            case Finish(reason):
                stored.set_stopped(reason)
                return


def _explored(plan: StudyPlan, search: SearchStudy, made: MadeUp) -> None:
    """Asks for and records a few trials as in a sweep; the others are copies of their rows in the database."""
    while search.remaining > max(0, plan.search.trials - AS_IN_A_SWEEP):
        asked = search.ask()
        search.tell(asked, made.result(Stage.EXPLORE, asked.arm, plan.seed), f"run-{asked.number}")
    study = optuna.load_study(
        study_name=f"{plan.name}@{study_identity(plan, 'data')}", storage=open_storage(None, Paths.here())
    )
    patterns = study.get_trials()
    copies = []
    for number in range(len(patterns), plan.search.trials):
        pattern = patterns[number % len(patterns)]
        recipe = arm_of(pattern.params, plan.arm)
        result = made.result(Stage.EXPLORE, recipe, plan.seed + number)
        stored = {**pattern.user_attrs["result"], **to_json(result), "run_id": f"run-{number}"}
        stored["history"] = pattern.user_attrs["result"]["history"]
        copies.append(
            optuna.trial.create_trial(
                params=pattern.params,
                distributions=pattern.distributions,
                value=loss_of(result),
                user_attrs={**pattern.user_attrs, "result": stored},
            )
        )
    study.add_trials(copies)


def main() -> None:
    """Makes the study, times the report, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="goldilocks-large-") as scratch:
        folder = arguments.folder or Path(scratch)
        os.chdir(folder)
        started = time.perf_counter()
        make(arguments.trials)
        print(f"made a study of {arguments.trials} trials in {time.perf_counter() - started:.1f} s")
        verdicts = []
        for _ in range(2):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "sweep.report", "study=large"], check=True, stdout=subprocess.DEVNULL)
            print(f"python -m sweep.report study=large: {time.perf_counter() - started:.1f} s")
            verdict = json.loads(Path("mlruns/reports/large/verdict.json").read_text())
            verdicts.append({**verdict, "created": None})
        page = Path("mlruns/reports/large/index.html").stat().st_size
        print(
            f"verdicts are {'the same' if verdicts[0] == verdicts[1] else 'DIFFERENT'}; the page has {page / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
