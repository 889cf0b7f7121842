"""Gain against forgetting, by method and by what is done against forgetting; docs/forgetting.md has the figures.

    python -m benchmarks.forgetting [--seeds 2] [--minutes 0]

SmolLM2-135M on pharma. Each result is written to benchmarks/results/forgetting.json as it ends, and not measured again if it is there.
`--minutes` starts no trial after that many minutes, so the whole can be run in pieces. `python -m benchmarks.document` makes the
tables and the picture of it.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from benchmarks.document import RESULTS
from benchmarks.forgetting.experiment import BATCH, STEPS, TAKEN_BACK, Bench, Row, missing, plan_of, rows
from benchmarks.machine import machine
from sweep.records import TrialResult
from sweep.store.paths import Paths

FILE = RESULTS / "forgetting.json"


def main() -> None:
    """Measures what is missing."""
    from sweep.training.machine import quiet_libraries, quiet_progress
    from sweep.workers.child import set_threads

    asked = _asked()
    set_threads(asked.threads)
    quiet_libraries()
    quiet_progress()
    measured = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    began, bench, group = time.monotonic(), None, None
    left = missing([(row["method"], row["way"], row["seed"]) for row in measured], asked.seeds)
    while left:
        if asked.minutes and time.monotonic() - began > 60 * asked.minutes:
            print(f"{len(left)} trials are left; the same command continues")
            return
        row, seed = left.pop(0)
        plan = plan_of(row, seed)
        if row.group != group or bench is None:
            bench, group = Bench(plan, Paths.here()), row.group
        base, trial = bench.base(plan), bench.trial(plan)
        measured.append(_figures(row, seed, base, trial))
        _write(measured)
        print(json.dumps(measured[-1]), flush=True)


def _figures(row: Row, seed: int, base: TrialResult, trial: TrialResult) -> dict[str, Any]:
    """What is kept of a trial; losses in nats per token.

    Raises:
        SystemExit: it is not complete.
    """
    before, after = base.measures, trial.measures
    if before is None or after is None:
        raise SystemExit(f"{row.method}, {row.way}, seed {seed}: {trial.status}: {trial.reason or base.reason}")
    return {
        "method": row.method,
        "way": row.way,
        "seed": seed,
        "base_loss": before.loss,
        "loss": after.loss,
        "gain": before.loss - after.loss,
        "forgetting": after.forgetting_loss_delta,
        "low": after.forgetting_low,
        "high": after.forgetting_high,
        "steps": len(trial.history),
        "kept_step": after.kept_step,
        "words": list(row.words),
    }


def _write(measured: list[dict[str, Any]]) -> None:
    order = [(row.method, row.way) for row in rows()]
    measured = sorted(measured, key=lambda row: (row["seed"], order.index((row["method"], row["way"]))))
    result = {
        "kind": "forgetting",
        "model": "SmolLM2-135M",
        "data": "pharma",
        "steps": STEPS,
        "batch": BATCH,
        "taken_back": TAKEN_BACK,
        "machine": machine("cpu"),
        "rows": measured,
    }
    FILE.write_text(json.dumps(result, indent=1) + "\n")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
