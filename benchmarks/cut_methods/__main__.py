"""Compares ways of cutting trained adapters to smaller ranks, with each other and with training those ranks from the start.

    python -m benchmarks.cut_methods --data pharma --seeds 6 --out benchmarks/results/cut_methods-pharma.json [KEY=VALUE ...]

DATA is `pharma` or a folder with train.jsonl, validation.jsonl and test.jsonl. Adapters, losses and moments are kept in `--store`; what
is there is not computed again, so a run that was interrupted goes on, and other `--parts` add their rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cut_methods.experiments import Comparison, Question, Row, tuned_rates
from benchmarks.cut_methods.methods import DEFAULT
from benchmarks.cut_methods.workshop import Workshop
from benchmarks.machine import machine
from sweep.commands.app import composed_plan
from sweep.records import Split
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from sweep.training.input_grams import CALIBRATION_EXAMPLES
from sweep.training.machine import quiet_libraries, quiet_progress

KEYS = ("engine=packed", "evaluate.answers=none", "lora.targets=q_v", "lora.alpha_ratio=2", "lora.dropout=0")
"""The same for all data: the recipe of conf/study/pharma.yaml, losses only."""

PARTS = ("cuts", "budgets", "calibration", "trained", "healing", "top")


def main() -> None:
    """Runs the experiments and writes the results."""
    arguments = _arguments()
    quiet_libraries()
    quiet_progress()
    data = ["+study=pharma"] if arguments.data == "pharma" else ["task=jsonl", f"task.path={arguments.data}"]
    plan = composed_plan([*KEYS, *data, *arguments.keys])
    name = "pharma" if arguments.data == "pharma" else Path(arguments.data).name
    workshop = Workshop(plan, load_setup(plan.setup, Paths.here()), arguments.store / name, arguments.side)
    wanted = [arguments.top, *(arguments.trained if "trained" in arguments.parts else ())]
    given = dict(arguments.rates)
    tuned = tuned_rates(workshop, [rank for rank in wanted if rank not in given], arguments.factors)
    rates = given | {rank: min(losses, key=losses.__getitem__) for rank, losses in tuned.items()}
    seeds = tuple(range(1, arguments.seeds + 1))
    question = Question(
        arguments.top,
        tuple(arguments.ranks),
        tuple(arguments.trained),
        seeds,
        rates,
        CALIBRATION_EXAMPLES,
        arguments.examples,
    )
    comparison = Comparison(workshop, question)
    result = {
        "kind": "cut_methods",
        "data": arguments.name or name,
        "top": arguments.top,
        "ranks": arguments.ranks,
        "trained": arguments.trained,
        "seeds": list(seeds),
        "rates": {str(rank): rates[rank] for rank in wanted},
        "tuned": {str(rank): losses for rank, losses in tuned.items()},
        "steps": plan.training.steps,
        "batch": plan.training.batch_size,
        "examples": len(workshop.tokens(Split.CERTIFY)),
        "calibration": {"inputs": CALIBRATION_EXAMPLES, "gradients": arguments.examples},
        "chosen": arguments.weighting,
        "base": round(workshop.loss(comparison.base), 5),
        "rows": _rows(comparison, arguments),
        "seconds": workshop.seconds,
        "machine": machine("cpu"),
        "command": {"keys": arguments.keys, "parts": arguments.parts},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.ladder:
        arguments.ladder.write_text(json.dumps(_ladder(comparison, arguments.weighting)) + "\n")


def _rows(comparison: Comparison, arguments: argparse.Namespace) -> list[Row]:
    weighting = arguments.weighting
    parts: dict[str, Callable[[], list[Row]]] = {
        "cuts": lambda: comparison.cuts(arguments.ranks, budgets=False),
        "budgets": lambda: comparison.cuts(arguments.few, ("plain", "both"), budgets=True),
        "calibration": lambda: comparison.calibrations(arguments.few[:1], (8, 16)),
        "trained": comparison.trained,
        "healing": lambda: comparison.healing(weighting, arguments.few, arguments.healing),
        "top": lambda: [
            row
            for rate, ratio in ((1.5, 2.0), (1.0, 4.0))
            for row in comparison.other_tops(weighting, arguments.few, rate, ratio)
        ],
    }
    rows = comparison.uncut()
    for part in arguments.parts:
        rows += parts[part]()
    return rows


def _ladder(comparison: Comparison, weighting: str) -> dict[str, Any]:
    """The losses of the uncut and the cut adapters by example, in nats per token, for tests of the verdict."""
    question, workshop = comparison.question, comparison.workshop
    tokens = workshop.tokens(Split.CERTIFY)
    ranks = sorted({*question.ranks, question.top})
    return {
        "ranks": ranks,
        "seeds": list(question.seeds),
        "tokens": [int(count) for count in tokens],
        "base": [round(value, 5) for value in (comparison.base / tokens).tolist()],
        "losses": [
            [
                [round(value, 5) for value in (comparison.cut_of(seed, weighting, rank) / tokens).tolist()]
                for seed in question.seeds
            ]
            for rank in ranks
        ],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="pharma, or a folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", help="how the tables name it, where the data has several results")
    parser.add_argument("--ladder", type=Path, help="also write the losses by example to this file")
    parser.add_argument("--store", type=Path, default=Path("mlruns/cut_methods"), help="folder of adapters and losses")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--top", type=int, default=32)
    parser.add_argument("--ranks", type=_integers, default=[16, 8, 4, 2, 1], metavar="16,8,4,2,1")
    parser.add_argument("--trained", type=_integers, default=[4, 8, 16], metavar="4,8,16")
    parser.add_argument("--rates", type=_pairs, default=[], metavar="RANK:RATE,...", help="not tuned for these ranks")
    parser.add_argument("--factors", type=_numbers, default=[0.5, 1.0, 2.0], help="rates tried, times the usual one")
    parser.add_argument("--examples", type=int, default=32, help="training examples for the moments with gradients")
    parser.add_argument("--weighting", default=DEFAULT, help="the cut that is healed, and kept by example")
    parser.add_argument("--healing", type=_pairs, default=[(6, 1e-3), (4, 5e-4)], metavar="STEPS:RATE,...")
    parser.add_argument("--few", type=_integers, default=[4, 2], metavar="4,2", help="ranks of every part but cuts")
    parser.add_argument("--side", type=int, default=6, help="adapters side by side")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    return parser.parse_args()


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _pairs(text: str) -> list[tuple[int, float]]:
    return [(int(number), float(rate)) for number, rate in (part.split(":") for part in text.split(","))]


if __name__ == "__main__":
    main()
