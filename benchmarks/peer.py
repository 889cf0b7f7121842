"""The sweep script that Goldilocks is compared with: how it is called, and what it must leave.

    python SCRIPT --model DIR --data DIR --trials N --steps N --batch N --eval N --max-length N --ranks R ... --out DIR

It searches with Optuna (`DIR/optuna.db`, one study with the parameters r, alpha_ratio, dropout, targets and learning_rate), trains
with transformers' Trainer with seed 0, scores the first N validation rows, and prints one JSON line with `seconds` and
`seconds_per_trial`. Its function `encode(row, tokenizer, max_length)` says what tokens it trains on.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.machine import Ran, timed

Encode = Callable[[Mapping[str, str], Any, int], Mapping[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class PeerTrial:
    """One arm that the peer tried, in the words of `search.arms`, and the loss that it ended with."""

    arm: Mapping[str, Any]
    loss: float


def run_peer(script: Path, arguments: Mapping[str, Any], out: Path, environment: Mapping[str, str]) -> Ran:
    """Runs the script, start to finish; `arguments` are its own, without the leading dashes."""
    words = [str(script)]
    for name, value in {**arguments, "out": out}.items():
        words += [f"--{name}", *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]
    out.mkdir(parents=True)
    return timed(words, out.parent, environment)


def said(ran: Ran) -> dict[str, Any]:
    """The JSON line that it printed."""
    result: dict[str, Any] = json.loads(ran.output.strip().splitlines()[-1])
    return result


def trials_of(out: Path) -> list[PeerTrial]:
    """The arms that it tried, in its order."""
    storage = f"sqlite:///{(out / 'optuna.db').resolve()}"
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    names = ("r", "alpha_ratio", "dropout", "targets", "learning_rate")
    return [PeerTrial({name: trial.params[name] for name in names}, float(trial.values[0])) for trial in study.trials]


def encoding_of(script: Path) -> Encode:
    """The script's own `encode`."""
    spec = importlib.util.spec_from_file_location("peer_script", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encode: Encode = module.encode
    return encode


def training_arguments(folder: Path, steps: int, batch: int) -> TrainingArguments:
    """The arguments that decide over order, clipping and decay: the peer's, which leaves all others as they are."""
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch,
        seed=0,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
    )


def trained_order(rows: int, arguments: TrainingArguments) -> list[list[int]]:
    """Which rows a Trainer takes at each step: trains a module that only notes what it is given."""
    noting = _Noting()
    trainer = Trainer(noting, arguments, train_dataset=list(range(rows)), data_collator=_as_rows)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return noting.taken


class _Noting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.taken: list[list[int]] = []

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        self.taken.append(rows.tolist())
        return {"loss": self.weight.sum()}


def _as_rows(rows: Sequence[int]) -> dict[str, torch.Tensor]:
    return {"rows": torch.tensor(list(rows))}
