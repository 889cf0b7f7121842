"""Every method and every initialization, trained once on a real base; and what training side by side saves for those that are packed.

    python -m benchmarks.each_method [--steps 20] [--out benchmarks/results/each_method.json] [KEY=VALUE ...]

Each method is trained with its own usual recipe (`conf/method/`) on the unquantized base, each initialization on NF4, one after the other
in this process, with the same seed, steps and examples. One training each shows that a method trains and what a step costs; it does
not compare methods, whose rates would have to be tuned (`+study=pharma_methods` does that). Methods that are packed are timed
again with four trials side by side: the CPU time of a step divided by four, in the same process as the Trainer's. One thread, as a
worker on two cores has, and CPU seconds, so that what else the machine does counts little.

FILE is written after each training, and what is there is not trained again. `python -m benchmarks.document` shows it in docs/methods.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.each_method.table import SCORED, SLOTS
from benchmarks.machine import machine
from sweep.commands.app import composed_plan
from sweep.methods import methods, trains_packed
from sweep.methods.initialization import INITIALIZATIONS
from sweep.records import Stage, StepLoss, StudyPlan, TrialSpec
from sweep.records.arm import DEFAULT_INIT
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded, Encoder
from sweep.training.engine import AdaptedModel, Engine, TrainedTrial
from sweep.training.machine import quiet_libraries, quiet_progress
from sweep.training.splits import load_splits

DEFAULT_OUT = Path(__file__).parents[1] / "results" / "each_method.json"
_TIMED_STEPS = 6
_OWN_VALUES = {"lora_plus": ("method.loraplus_lr_ratio=16",), "rslora_plus": ("method.loraplus_lr_ratio=16",)}
_OF_ATTENTION = {"ia3": ("lora.targets=[k_proj,v_proj,down_proj]",)}


def cases() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each training, and the keys that choose it."""
    for name in methods():
        yield name, (f"method={name}", "quant=none", *_OWN_VALUES.get(name, ()), *_OF_ATTENTION.get(name, ()))
    for name in INITIALIZATIONS:
        if name != DEFAULT_INIT:
            yield f"lora, init {name}", ("method=lora", f"lora.init={name}", "quant=nf4", "lora.r=8")
    yield "lora on NF4", ("method=lora", "quant=nf4", "lora.r=8")


class Bench:
    """Trains the cases, with one base in memory at a time."""

    def __init__(self, keys: Sequence[str], steps: int, paths: Paths) -> None:
        self._keys, self._steps, self._paths = list(keys), steps, paths
        self._quant, self._before = "", 0.0
        self._base: LoadedBase | None = None
        self._train: list[Encoded] = []
        self._tune: list[Encoded] = []

    def row(self, name: str, keys: Sequence[str]) -> dict[str, Any]:
        """Trains a case; its figures."""
        plan = composed_plan([*self._keys, *keys, "certify=none"], searches=False)
        base = self._loaded(plan)
        spec = TrialSpec(name, "each_method", Stage.SINGLE, plan.arm, replace(plan.training, steps=self._steps), 0)
        from sweep.training.trainer_engine import TrainerEngine

        engine = TrainerEngine(base)
        seconds, adapted = self._trained(engine, [spec])
        after, size = self._loss(adapted[0], engine), self._saved(adapted[0])
        parameters = adapted[0].parameters
        adapted[0].release()
        row = {
            "name": name,
            "quant": plan.setup.quant.name,
            "learning_rate": plan.arm.learning_rate,
            "before": self._before,
            "after": after,
            "step_cpu_seconds": seconds,
            "trainable": parameters,
            "bytes": size,
        }
        return row | ({"packed_step_cpu_seconds": self._packed(spec, base)} if trains_packed(plan.arm) else {})

    def _loaded(self, plan: StudyPlan) -> LoadedBase:
        if self._base is None or plan.setup.quant.name != self._quant:
            self._base = None  # before the next is loaded
            self._base = load_base(plan.setup.model, plan.setup.quant, self._paths)
            self._quant = plan.setup.quant.name
            encoder = Encoder(self._base.tokenizer, plan.setup.task.system_prompt)
            data = load_splits(plan.setup.task, self._paths)
            self._train = [encoder.encode(each) for each in data.train]
            self._tune = [encoder.encode(each) for each in data.tune[:SCORED]]
            from sweep.training.trainer_engine import TrainerEngine

            engine = TrainerEngine(self._base)
            self._before = self._loss(engine.bare(), engine)
        return self._base

    def _trained(self, engine: Engine, specs: Sequence[TrialSpec]) -> tuple[float, list[AdaptedModel]]:
        """Median CPU seconds of a step per trial, and the trained models."""
        stamps: list[float] = []

        def timed(adapted: AdaptedModel, step: StepLoss) -> None:
            stamps.append(time.process_time())

        def not_timed(adapted: AdaptedModel, step: StepLoss) -> None:
            pass

        for spec in specs:
            engine.begin(spec, self._train, timed if spec is specs[0] else not_timed)
        ended: list[TrainedTrial] = []
        while len(ended) < len(specs):
            ended += engine.advance()
        for each in ended:
            if each.error is not None:
                raise each.error
        gaps = [after - before for before, after in pairwise(stamps[1:])]
        return median(gaps) / len(specs), [each.adapted for each in ended if each.adapted is not None]

    def _packed(self, spec: TrialSpec, base: LoadedBase) -> float:
        from sweep.training.packed.engine import PackedEngine

        training = replace(spec.training, steps=_TIMED_STEPS)
        specs = [replace(spec, identity=f"{spec.identity} {n}", seed=n, training=training) for n in range(SLOTS)]
        engine = PackedEngine(base, self._train[:2])
        seconds, adapted = self._trained(engine, specs)
        for each in adapted:
            each.release()
        return seconds

    def _loss(self, adapted: AdaptedModel, engine: Engine) -> float:
        (outcomes,) = engine.evaluate([adapted], self._tune, None)
        return sum(each.nats for each in outcomes.outcomes) / sum(each.tokens for each in outcomes.outcomes)

    def _saved(self, adapted: AdaptedModel) -> int:
        with tempfile.TemporaryDirectory(prefix="goldilocks-each-method-") as folder:
            adapted.save(Path(folder))
            return sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))


def main() -> None:
    """Trains what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("keys", nargs="*", default=["task=pharma"])
    arguments = parser.parse_args()
    quiet_libraries()
    quiet_progress()
    import torch

    torch.set_num_threads(1)
    result: dict[str, Any] = {"kind": "each_method", "steps": arguments.steps, "machine": machine("cpu"), "rows": []}
    if arguments.out.exists():
        result = json.loads(arguments.out.read_text())
        if result["steps"] != arguments.steps:
            raise SystemExit(
                f"{arguments.out}: its trainings have {result['steps']} steps; name another file with --out"
            )
    bench = Bench(arguments.keys, arguments.steps, Paths.here())
    for name, keys in cases():
        if any(row["name"] == name for row in result["rows"]):
            continue
        row = bench.row(name, keys)
        result["rows"].append(row)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(
            f"{name:20} {row['before']:.3f} -> {row['after']:.3f}, {row['step_cpu_seconds']:.2f} CPU s a step",
            flush=True,
        )


if __name__ == "__main__":
    main()
