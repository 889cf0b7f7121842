"""Where the seconds of a trial go, beside what a plain sweep script takes for the same trials.

    python benchmarks/trial_parts.py --data DIR [--peer SCRIPT] [--trials 3] [--steps 60] [--batch 4] [--out FILE]

DIR holds train.jsonl, validation.jsonl and test.jsonl. SCRIPT is called as

    SCRIPT --model DIR --data DIR --trials N --steps N --batch N --eval 128 --ranks 8 16 32 --out DIR

and prints one JSON line with `seconds_per_trial`. Both sweeps train the same number of NF4 trials on the same base, one
after the other. The peer scores losses only; answering by generated text is ours alone and is shown as a part of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from sweep.config.app import composed_plan
from sweep.data import load_splits
from sweep.paths import Paths
from sweep.study import run as run_module
from sweep.study.display import Silent
from sweep.study.explorer import Explorer
from sweep.study.stopping import StopRequest


class Clock:
    """Adds up the seconds spent in named parts of this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, part: str, function: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - started

        return timed


class TimedTracker:
    """A tracker whose methods are timed."""

    def __init__(self, tracker: Any, clock: Clock) -> None:
        self._tracker, self._clock = tracker, clock

    def __getattr__(self, name: str) -> Any:
        part = "mlflow" if name.endswith("_trial") else "mlflow_once"
        return self._clock.around(part, getattr(self._tracker, name))


def ours(arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], Path]:
    """Runs the sweep and returns its parts in seconds a trial, and the base model's folder."""
    os.chdir(folder)
    clock = Clock()
    open_tracker = run_module.open_tracker
    opened = clock.around("mlflow_once", open_tracker)
    run_module.open_tracker = lambda uri, paths: TimedTracker(opened(uri, paths), clock)  # type: ignore[assignment]
    Explorer.ask = clock.around("optuna", Explorer.ask)  # type: ignore[method-assign]
    Explorer.tell = clock.around("optuna", Explorer.tell)  # type: ignore[method-assign]
    plan = composed_plan(
        [
            "study.name=benchmark",
            "task=jsonl",
            f"task.path={arguments.data}",
            f"search.trials={arguments.trials}",
            f"train.steps={arguments.steps}",
            f"train.batch_size={arguments.batch}",
            "evaluate.examples=128",
            "certify=none",
        ]
    )
    paths = Paths.here()
    started = time.perf_counter()
    explored = run_module.run_study(
        plan, load_splits(plan.foundation.task, paths), paths, Silent(), StopRequest(), lambda record: ()
    )
    whole = time.perf_counter() - started
    trials = explored.record.complete()
    parts: dict[str, float] = defaultdict(float)
    for trial in trials:
        assert trial.result.measures is not None
        for part, seconds in trial.result.measures.phases.items():
            parts[part] += seconds / len(trials)
        parts["other"] += (trial.result.seconds - sum(trial.result.measures.phases.values())) / len(trials)
    for part in ("mlflow", "optuna"):
        parts[part] = clock.seconds[part] / len(trials)
    base = explored.record.base.result.seconds if explored.record.base else 0.0
    found = {
        "seconds": whole,
        "seconds_per_trial": sum(parts.values()),
        "parts": dict(parts),
        "once": {"base_model_scored": base, "mlflow": clock.seconds["mlflow_once"]},
        "examples_scored": trials[0].result.measures.examples if trials[0].result.measures else 0,
    }
    return found, next((paths.models).glob("smollm2-135m-*"))


def peer(arguments: argparse.Namespace, model: Path, folder: Path) -> dict[str, Any]:
    """Runs the peer's script; returns the JSON that it printed."""
    words = [sys.executable, str(arguments.peer), "--model", str(model), "--data", str(arguments.data)]
    words += ["--trials", str(arguments.trials), "--steps", str(arguments.steps), "--batch", str(arguments.batch)]
    words += ["--eval", "128", "--ranks", "8", "16", "32", "--out", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measures, prints a table, and writes JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--out", type=Path)
    for name, value in (("trials", 3), ("steps", 60), ("batch", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    arguments.data, arguments.peer = arguments.data.resolve(), arguments.peer and arguments.peer.resolve()
    out = arguments.out.resolve() if arguments.out else None
    with tempfile.TemporaryDirectory(prefix="goldilocks-benchmark-") as scratch:
        found: dict[str, Any] = {"ours": {}, "peer": None}
        found["ours"], model = ours(arguments, Path(scratch))
        if arguments.peer:
            found["peer"] = peer(arguments, model, Path(scratch) / "peer")
            found["ratio"] = found["peer"]["seconds_per_trial"] / found["ours"]["seconds_per_trial"]
    for part, seconds in found["ours"]["parts"].items():
        print(f"{part:>10} {seconds:8.2f} s a trial")
    print(f"{'ours':>10} {found['ours']['seconds_per_trial']:8.2f} s a trial")
    if found["peer"]:
        print(f"{'peer':>10} {found['peer']['seconds_per_trial']:8.2f} s a trial: {found['ratio']:.2f} times ours")
    if out:
        out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
