"""Predicted peak memory against measured, for packs of all kinds, each in a process of its own.

    python -m benchmarks.memory_model --data FOLDER [FOLDER ...] --out FILE.json [--device auto|cpu|cuda] [--only NUMBER ...]

A process loads a base as a worker does, fits the memory model with its probes, predicts, and only then trains a few steps of so
many trials side by side, scores them together, and reports the peak of its resident memory (CUDA: of what torch's allocator has
reserved, which is what limits count) over all of that.
FOLDERs hold data as `task=jsonl` reads it; `pharma` is the project's own. Configurations go through the data in turn.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.machine import ROOT, chosen_device, environment, hydra_word, machine

if TYPE_CHECKING:
    import torch

    from sweep.training.memory import PeakMemory

PHARMA = "pharma"


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained side by side.

    Attributes:
        data: number of the data set, counted round.
        cache: `quant.cache`.
        checkpointing: `train.gradient_checkpointing`.
    """

    data: int
    slots: int
    rank: int
    targets: str
    batch: int
    quant: str = "nf4"
    cache: str = "always"
    dropout: float = 0.0
    checkpointing: str = "false"


CASES = (
    Case(0, 1, 2, "q_v", 1),
    Case(0, 2, 8, "q_v", 4),
    Case(0, 4, 16, "q_v", 4),
    Case(0, 8, 32, "q_v", 4),
    Case(0, 2, 64, "all_linear", 4),
    Case(0, 4, 8, "all_linear", 8, cache="never"),
    Case(0, 2, 16, "q_v", 8, quant="none"),
    Case(1, 1, 8, "q_v", 4),
    Case(1, 2, 16, "all_linear", 2),
    Case(1, 2, 8, "q_v", 4, cache="never"),
    Case(1, 4, 4, "q_v", 1),
    Case(1, 1, 64, "all_linear", 4, quant="none"),
    Case(2, 1, 4, "q_v", 8),
    Case(2, 2, 16, "attention", 4),
    Case(2, 8, 8, "q_v", 2, cache="never"),
    Case(2, 2, 32, "all_linear", 4, dropout=0.1),
    Case(1, 2, 16, "all_linear", 4, checkpointing="true"),
    Case(2, 4, 16, "all_linear", 8, cache="never", checkpointing="true"),
)
STEPS = 2


def words(case: Case, data: Sequence[str], model: str) -> list[str]:
    """The words of `python -m sweep` for this case."""
    name = data[case.data % len(data)]
    task = ["task=pharma"] if name == PHARMA else ["task=jsonl", f"task.path={hydra_word(name)}"]
    return [
        *task,
        f"model={model}",
        f"quant={case.quant}",
        f"quant.cache={case.cache}",
        f"engine.slots={case.slots}",
        f"lora.r={case.rank}",
        f"lora.targets={case.targets}",
        f"lora.dropout={case.dropout}",
        f"train.batch_size={case.batch}",
        f"train.gradient_checkpointing={case.checkpointing}",
        f"train.steps={STEPS}",
        "evaluate.examples=32",
    ]


def measured(overrides: Sequence[str], models: Path) -> dict[str, int]:
    """Predicts and measures, in this process; call once in a fresh one."""
    from sweep.workers import child

    child.set_threads(1)
    from sweep.commands.app import composed_plan
    from sweep.evaluation.data import EvaluationData
    from sweep.records import Split, Stage, TrialSpec
    from sweep.store.paths import Paths
    from sweep.training.base_model import load_base
    from sweep.training.encoding import Encoder
    from sweep.training.engine import TrainedTrial
    from sweep.training.machine import quiet_libraries, quiet_progress
    from sweep.training.memory import PeakMemory
    from sweep.training.packed.engine import PackedEngine
    from sweep.training.packed.memory.capacity import forecast
    from sweep.training.splits import load_splits

    quiet_libraries()
    quiet_progress()
    gc.freeze()  # as a worker does
    plan, paths = composed_plan(overrides), Paths(models)
    setup = plan.setup
    splits = load_splits(setup.task, paths)
    base = load_base(setup.model, setup.quant, paths)
    encoder, longest = Encoder(base.tokenizer, setup.task.system_prompt), setup.task.max_length
    train = encoder.encode_split(splits.train, longest).examples
    data = EvaluationData(splits, encoder, longest, setup.scoring, setup.task.metric, train)
    scored = data.evaluated_examples([Split.TUNE])
    engine = PackedEngine(base, train[:3])
    slots = plan.slots or 1
    asked = forecast(base, engine.pack, plan.arm, plan.training, plan.seed, train, scored)
    predicted = asked.peak(slots)

    peak = PeakMemory(base.device)
    peak.start()  # on CUDA it also resets the peak of what is reserved
    for number in range(slots):
        spec = TrialSpec(f"{number}", "benchmark", Stage.EXPLORE, plan.arm, plan.training, plan.seed)
        engine.begin(spec, train, lambda adapted, step: None)
    ended: list[TrainedTrial] = []
    while len(ended) < slots:
        ended += engine.advance()
    adapted = [each.adapted for each in ended if each.adapted is not None]
    trained = _peak(peak, base.device)
    for examples, rule in scored:
        engine.evaluate(adapted, examples, rule)
    return {
        "predicted": predicted,
        "measured": _peak(peak, base.device),
        "allocated": peak.peak(),
        "measured_training": trained,
        "resident": asked.model.resident,
        "tokens": max(shape.tokens for shape in asked.training) * slots,
    }


def _peak(peak: PeakMemory, device: torch.device) -> int:
    import torch

    return int(torch.cuda.max_memory_reserved(device)) if device.type == "cuda" else peak.peak()


def run(case: Case, data: Sequence[str], model: str, models: Path, outside: dict[str, str]) -> dict[str, Any]:
    """One case in a process of its own.

    Raises:
        SystemExit: it failed; with what it printed last.
    """
    command = [sys.executable, "-m", "benchmarks.memory_model", "--child", str(models), *words(case, data, model)]
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{case}: ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    outcome = json.loads(done.stdout.splitlines()[-1])
    error = outcome["predicted"] / outcome["measured"] - 1
    name = Path(data[case.data % len(data)]).name
    print(f"{name} {case}: {outcome['predicted'] / 1e6:,.0f} MB predicted, {error:+.1%}", flush=True)
    return {**asdict(case), "data": name, **outcome, "error": error}


def summary(cases: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The errors' median and largest size."""
    errors = [abs(case["error"]) for case in cases]
    return {"cases": len(errors), "median_error": median(errors), "largest_error": max(errors)}


def main() -> None:
    """Measures, and writes the figures."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measured(sys.argv[3:], Path(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of cases, from 0")
    arguments = parser.parse_args()
    data = [name if name == PHARMA else str(Path(name).resolve()) for name in arguments.data]
    device = chosen_device(arguments.device)
    chosen = [CASES[number] for number in arguments.only or range(len(CASES))]
    with tempfile.TemporaryDirectory(prefix="goldilocks-benchmark-") as scratch:
        outside = environment(device, Path(scratch))
        outside |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        cases = [run(case, data, arguments.model, ROOT / "mlruns", outside) for case in chosen]
    results = {
        "kind": "memory_model",
        "model": arguments.model,
        "machine": machine(device),
        "steps": STEPS,
        "summary": summary(cases),
        "cases": cases,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["summary"]))


if __name__ == "__main__":
    main()
