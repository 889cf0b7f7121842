"""Time to a verdict, beside the grid that would be needed to see the same: ladder x rates x seeds, one training after the other.

    python -m benchmarks.time_to_verdict --peer SCRIPT --data DIR --out FILE.json
        [--steps 60] [--batch 4] [--eval 200] [--rates 4] [--seeds N] [--peer-trials 3] [--device auto|cpu|cuda] [KEY=VALUE ...]

First the whole study, from the command to its verdict, start to finish (`python -m sweep task=jsonl task.path=DIR KEY=VALUE ...`);
then a few trials of SCRIPT (benchmarks/peer.py) with the same steps, batch and number of scored examples. The grid is not run: it
takes the number of trials times the measured seconds per trial. Its seeds are those that the study needed, unless --seeds says
otherwise. The peer writes no answers and uses no chat template, so its trials are the smaller ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import chosen_device, environment, hydra_word, machine, timed
from benchmarks.peer import run_peer, said
from sweep.commands.app import composed_plan
from sweep.records import StudyRecord, TrialResult
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.training.machine import quiet_libraries
from sweep.training.sources import find_model

STUDY = "time-to-verdict"


def keys(arguments: argparse.Namespace, model: Path) -> list[str]:
    """The words of `python -m sweep`; what a person has written comes last, so it counts."""
    return [
        f"study.name={STUDY}",
        f"model={arguments.model}",
        f"model.path={hydra_word(str(model))}",
        "task=jsonl",
        f"task.path={hydra_word(str(arguments.data))}",
        f"task.max_length={arguments.max_length}",
        f"train.steps={arguments.steps}",
        f"train.batch_size={arguments.batch}",
        f"evaluate.certify_examples={arguments.eval}",
        *arguments.keys,
    ]


def grid(ranks: int, rates: int, seeds: int, seconds_a_trial: float) -> dict[str, Any]:
    """The grid's trials and the seconds that they would take."""
    trials = ranks * rates * seeds
    return {
        "ranks": ranks,
        "rates": rates,
        "seeds": seeds,
        "trials": trials,
        "seconds_a_trial": seconds_a_trial,
        "seconds": trials * seconds_a_trial,
    }


def seeds_of(record: StudyRecord) -> int:
    """The most seeds that a rank was trained with for the verdict."""
    assert record.certification is not None
    counted: dict[int, int] = {}
    for trial in record.certification.trials:
        counted[trial.rank] = counted.get(trial.rank, 0) + 1
    return max(counted.values())


def trained(record: StudyRecord) -> list[TrialResult]:
    """Every training of the study: the search, the tuning of rates, the ladder; cut adapters were not trained."""
    assert record.certification is not None
    ended = [*record.trials, *record.certification.trained()]
    return [trial.result for trial in ended if trial.arm is None or trial.arm.cut_from is None]


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Runs the study and the peer's trials, and computes the figures.

    Raises:
        SystemExit: the study ended without having trained its ladder.
    """
    device = chosen_device(arguments.device)
    outside = environment(device, scratch)
    model = find_model(composed_plan([f"model={arguments.model}"]).setup.model, Paths.here()).folder
    words = keys(arguments, model)
    plan = composed_plan(words)
    folder = scratch / "ours"
    folder.mkdir()
    ours = timed(["-m", "sweep", *words], folder, outside)
    paths = Paths.here(folder / "mlruns")
    with existing_storage(None, paths) as storage:
        record = studies_of(storage, STUDY)[0]
    if record.certification is None or not record.certification.trials:
        raise SystemExit(f"the study has no verdict to time:\n{ours.output[-3000:]}")
    verdict = json.loads(paths.verdict(STUDY).read_text())
    print(
        f"{verdict['status']}, rank {verdict['rank']}, bracket {verdict['bracket']}: {ours.seconds:.1f} s", flush=True
    )
    asked = {"model": model, "data": arguments.data, "trials": arguments.peer_trials, "steps": arguments.steps}
    asked |= {"batch": arguments.batch, "eval": arguments.eval, "max-length": arguments.max_length}
    theirs = said(run_peer(arguments.peer, {**asked, "ranks": plan.declaration.ladder}, scratch / "peer", outside))
    counted = grid(
        len(plan.declaration.ladder),
        arguments.rates,
        arguments.seeds or seeds_of(record),
        theirs["seconds_per_trial"],
    )
    return {
        "kind": "time_to_verdict",
        "data": arguments.data.name,
        "model": arguments.model,
        "machine": machine(device),
        "asked": {name: getattr(arguments, name) for name in ("steps", "batch", "eval", "max_length", "keys")},
        "verdict": {name: verdict[name] for name in ("status", "rank", "bracket")},
        "ours": {
            "seconds": ours.seconds,
            "trainings": len(trained(record)),
            "seeds": seeds_of(record),
            "workers": plan.workers,
            "slots": record.parallel // plan.workers,
        },
        "peer_trials": arguments.peer_trials,
        "grid": counted,
        "ratio": counted["seconds"] / ours.seconds,
    }


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("peer", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    numbers = (("steps", 60), ("batch", 4), ("eval", 200), ("max-length", 512), ("rates", 4), ("seeds", None))
    for name, value in (*numbers, ("peer-trials", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("keys", nargs="*", help="further keys of the study, for example certify.seeds=3")
    arguments = parser.parse_intermixed_args()
    for name in ("peer", "data", "out"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    return arguments


def main() -> None:
    """Measures, and writes the figures."""
    quiet_libraries()
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="goldilocks-benchmark-") as scratch:
        result = measure(arguments, Path(scratch))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    grid_of = result["grid"]
    print(
        f"{grid_of['trials']} trainings one by one would take {grid_of['seconds']:.0f} s (counted from "
        f"{grid_of['seconds_a_trial']:.1f} s per trial): {result['ratio']:.1f} times the study's {result['ours']['seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
