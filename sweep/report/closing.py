"""What stands below the table: what is known, what is not, and what to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweep.config.secrets import mask
from sweep.config.targets import set_name
from sweep.config.units import show_bytes
from sweep.paths import Paths
from sweep.records import Measures, StudyRecord, TrialRecord
from sweep.report.table import PARETO, others, trials_table
from sweep.verdict.undecided import REASONS

WIDTH = 132
"""Columns where the output is no terminal: a log, a file, a pipe."""


def console(*, error: bool = False) -> Console:
    """A console that is wide enough for the table where the width is not known."""
    found = Console(stderr=error, highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(stderr=error, highlight=False, width=WIDTH)


def print_outcome(record: StudyRecord, paths: Paths, tracking_uri: str | None, out: Console) -> None:
    """Table, words, next steps; the same for the same record, whoever asks."""
    out.print()
    out.print(trials_table(record))
    out.print(
        f"{PARETO} on the Pareto front of loss against adapter size; loss is on tune, nats a completion token; {_seeds(record)}"
    )
    for line in others(record):
        out.print(line, style="yellow", markup=False)
    if record.interrupted:
        out.print(f"{record.interrupted} trial(s) were interrupted and asked for again")
    best = record.best()
    if best is None:
        return
    out.print()
    for line in words(record, best):
        out.print(line, markup=False)
    out.print()
    for line in next_steps(record, paths, tracking_uri):
        out.print(line, markup=False, soft_wrap=True)


def _seeds(record: StudyRecord) -> str:
    seeds = sorted({trial.result.spec.seed for trial in record.trials})
    return f"seed {', '.join(str(seed) for seed in seeds)}"


def words(record: StudyRecord, best: TrialRecord) -> Sequence[str]:
    """What is known and what is not."""
    arm, measures = best.result.spec.arm, best.result.measures
    assert arm is not None
    assert measures is not None
    base = record.base.result.measures if record.base else None
    gain = f", the base model {base.loss:.4f} and {base.metrics[record.metric]:.3f}" if base else ""
    lines = [
        "status: undecided. No rank is certified yet: every arm was trained with one seed.",
        *(f"  - {reason}" for reason in REASONS[1:]),
        f"Best so far: rank {arm.rank} on {set_name(arm.targets, record.target_sets)}, learning rate {arm.learning_rate:.1e}: "
        f"loss {measures.loss:.4f}, {record.metric} {measures.metrics[record.metric]:.3f}{gain}.",
        f"Its adapter is {show_bytes(measures.adapter_bytes)}: {measures.trainable_parameters:,} parameters, "
        f"{100 * measures.trainable_fraction:.2f} % of the model.",
    ]
    smallest = _smallest_close(record, measures)
    if smallest is not None:
        lines.append(smallest)
    return lines


def _smallest_close(record: StudyRecord, best: Measures) -> str | None:
    """A pointer to the smallest rank within a hundredth of the gain, worth a look, not a verdict."""
    if record.base is None or record.base.result.measures is None:
        return None
    gain = record.base.result.measures.loss - best.loss
    if not gain > 0:
        return None
    close = [
        trial
        for trial in record.complete()
        if trial.result.measures is not None and trial.result.measures.loss - best.loss <= 0.01 * gain
    ]
    smallest = min(close, key=lambda trial: trial.result.measures.adapter_bytes if trial.result.measures else 0)
    measures = smallest.result.measures
    if measures is None or measures.adapter_bytes >= best.adapter_bytes:
        return None
    return (
        f"Worth a look: rank {smallest.result.spec.rank} keeps 99 % of the gain in this one run with an adapter of "
        f"{show_bytes(measures.adapter_bytes)} (loss {measures.loss:.4f})."
    )


def next_steps(record: StudyRecord, paths: Paths, tracking_uri: str | None) -> Sequence[str]:
    """Commands to copy."""
    adapter = shown(paths.adapter(record.name))
    store = tracking_uri or f"sqlite:///{shown(paths.mlflow_database)}"
    in_mlflow = (
        [] if store.startswith("memory:") else [f"  mlflow ui --backend-store-uri {mask(store)}     compare the runs"]
    )
    return [
        "Next:",
        f'  python -m sweep.predict study={record.name} prompt="..."     an answer with this adapter ({adapter})',
        *in_mlflow,
        f"  {_with_trials(record.command, 2 * record.planned)}     search on from here",
    ]


def _with_trials(command: str, trials: int) -> str:
    words = [word for word in shlex.split(command) if not word.lstrip("+").startswith("search.trials=")]
    return shlex.join([*words, f"search.trials={trials}"])


def shown(path: Path) -> str:
    """The path as seen from where the person stands, if it is below."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
