"""What decay and weight averaging do to the noise between seeds, and what more certify examples do to that of examples.

    python benchmarks/noise_of_recipes.py [--seeds 6] [--schedules linear,constant_with_warmup] [--out FILE] KEY=VALUE ...

Trains one arm (`lora.*`, `train.learning_rate`) of the study that the keys describe with each schedule and seed, one after
the other, and scores it on certify three times: with its last weights, and with their mean over the last quarter and the
last half of the steps. Prints for each schedule and way of averaging

    loss, base        mean over the seeds; the unadapted base (nats per token)
    seed sd           standard deviation between seeds
    correlation       between seeds, with the last weights: near one, averaging keeps a seed's luck and takes off the level only

and for 25, 50, 100, ... certify examples the standard error of a loss that stems from their choice. Each run is appended to
FILE (JSON lines) as it ends, and not trained again if it is there, so `--schedules` may be shared among processes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sweep.commands.app import composed_plan
from sweep.records import Stage, StepLoss, StudyPlan, TrialSpec
from sweep.store.paths import Paths
from sweep.training.adapters import adapter_parameters, detach
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded, Encoder
from sweep.training.forward import completion_losses
from sweep.training.machine import quiet_libraries, quiet_progress
from sweep.training.splits import load_splits
from sweep.training.trainer_engine import train

AVERAGED = {"last": 0.0, "mean of last quarter": 0.25, "mean of last half": 0.5}


class Averages:
    """Running means of an adapter's weights over the last part of a training."""

    def __init__(self, steps: int) -> None:
        self._first = {name: int(steps * (1 - share)) + 1 for name, share in AVERAGED.items() if share}
        self._sums: dict[str, dict[str, torch.Tensor]] = {name: {} for name in self._first}
        self._counts = dict.fromkeys(self._first, 0)

    def after_step(self, model: Any, step: StepLoss) -> None:
        """Adds the weights after an optimizer step."""
        for name, first in self._first.items():
            if step.step >= first:
                self._counts[name] += 1
                for key, parameter in adapter_parameters(model):
                    weights = parameter.detach().double()
                    self._sums[name][key] = self._sums[name].get(key, 0.0) + weights

    @contextmanager
    def used(self, model: Any, name: str) -> Iterator[None]:
        """Within, the model has the mean weights."""
        if name not in self._sums:
            yield
            return
        kept = {key: parameter.detach().clone() for key, parameter in adapter_parameters(model)}
        with torch.no_grad():
            for key, parameter in adapter_parameters(model):
                parameter.copy_(self._sums[name][key] / self._counts[name])
        yield
        with torch.no_grad():
            for key, parameter in adapter_parameters(model):
                parameter.copy_(kept[key])


def nats(base: LoadedBase, model: Any, scored: Sequence[Encoded]) -> list[float]:
    """Each example's loss, summed over its completion's tokens."""
    return [loss.nats for loss in completion_losses(base, model, scored)]


def runs(
    plan: StudyPlan, schedules: Sequence[str], seeds: int, known: Callable[[str, int], bool]
) -> Iterator[dict[str, Any]]:
    """Trains what is not known yet; one row for each schedule and seed, the base first."""
    paths = Paths.here()
    splits = load_splits(plan.setup.task, paths)
    base = load_base(plan.setup.model, plan.setup.quant, paths)
    encoder = Encoder(base.tokenizer, plan.setup.task.system_prompt)
    longest = plan.setup.task.max_length
    examples = encoder.encode_split(splits.train, longest).examples
    scored = encoder.encode_split(splits.certify, longest).examples[: plan.setup.scoring.certify_examples]
    tokens = [len(item.completion) for item in scored]
    if not known("base", 0):
        yield {"schedule": "base", "seed": 0, "tokens": tokens, "nats": {"last": nats(base, base.model, scored)}}
    for seed in range(1, seeds + 1):
        for schedule in schedules:
            if known(schedule, seed):
                continue
            training = replace(plan.training, schedule=schedule)
            averages = Averages(training.steps)
            spec = TrialSpec("", plan.name, Stage.SINGLE, plan.arm, training, seed)
            model = train(base, spec, examples, averages.after_step)
            losses = {}
            for name in AVERAGED:
                with averages.used(model, name):
                    losses[name] = nats(base, model, scored)
            detach(model)
            yield {"schedule": schedule, "seed": seed, "tokens": tokens, "nats": losses}


def table_of_recipes(rows: Sequence[dict[str, Any]]) -> Table:
    """A row for each schedule and way of averaging."""
    table = Table("schedule", "weights", "seeds", "loss", "base", "seed sd", "correlation")
    base = next(row for row in rows if row["schedule"] == "base")
    base_loss = sum(base["nats"]["last"]) / sum(base["tokens"])
    for schedule in sorted({row["schedule"] for row in rows} - {"base"}):
        own = sorted((row for row in rows if row["schedule"] == schedule), key=lambda row: row["seed"])
        last = np.array([sum(row["nats"]["last"]) / sum(row["tokens"]) for row in own])
        for name in AVERAGED:
            losses = np.array([sum(row["nats"][name]) / sum(row["tokens"]) for row in own])
            some = len(own) > 1
            table.add_row(
                schedule,
                name,
                str(len(own)),
                f"{losses.mean():.4f}",
                f"{base_loss:.3f}",
                f"{losses.std(ddof=1):.4f}" if some else "-",
                f"{np.corrcoef(last, losses)[0, 1]:.2f}" if some else "-",
            )
    return table


def table_of_examples(rows: Sequence[dict[str, Any]], schedule: str) -> Table:
    """The standard error of the loss from the choice of examples, averaged over seeds; subsets are the first examples."""
    table = Table("certify examples", "standard error")
    own = [row for row in rows if row["schedule"] == schedule]
    most = len(own[0]["tokens"])
    for count in sorted({*(size for size in (25, 50, 100, 200, 400) if size < most), most}):
        errors = []
        for row in own:
            tokens, summed = np.array(row["tokens"][:count], dtype=float), np.array(row["nats"]["last"][:count])
            off = summed - tokens * summed.sum() / tokens.sum()
            errors.append(float(np.sqrt(np.square(off).sum() * count / (count - 1))) / tokens.sum())
        table.add_row(str(count), f"{np.mean(errors):.4f}")
    return table


def main() -> None:
    """Trains, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--schedules", default="linear,constant_with_warmup")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("noise_of_recipes.jsonl"))
    parser.add_argument("keys", nargs="*")
    arguments = parser.parse_args()
    quiet_libraries()
    quiet_progress()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    def there() -> list[dict[str, Any]]:
        return [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []

    def known(schedule: str, seed: int) -> bool:
        return any(row["schedule"] == schedule and row["seed"] == seed for row in there())

    schedules = arguments.schedules.split(",")
    for row in runs(composed_plan(arguments.keys), schedules, arguments.seeds, known):
        with arguments.out.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{row['schedule']} seed {row['seed']}", flush=True)
    rows = there()
    console = Console(width=110)
    console.print(table_of_recipes(rows))
    console.print(table_of_examples(rows, schedules[0]))


if __name__ == "__main__":
    main()
