"""The one table at the end: every trial, the base as rank 0, and the Pareto front of loss against adapter size."""

from __future__ import annotations

from rich.table import Table

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.records import EvaluatedTrial, Measures, StudyRecord
from sweep.reports.recipe import method_of
from sweep.verdict.pareto import pareto_front

PARETO = "◆"


def trials_table(record: StudyRecord) -> Table:
    """All complete trials by rank and loss, below them the others with their reasons."""
    method = method_of(record)
    title = f"{record.name}: {record.task} on {record.model}" + (f", {method}" if method else "")
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("rank", "alpha"):
        table.add_column(name, justify="right")
    table.add_column("targets", overflow="fold")
    for name in ("drop\nout", "rate", "loss", record.metric, "peak\nmemory", "adapter", "time"):
        table.add_column(name, justify="right")
    table.add_column(PARETO, justify="center")
    if record.base is not None:
        table.add_row(*_row(record, record.base), "")
    complete = sorted(record.complete(), key=lambda trial: (trial.rank, trial.loss))
    front = pareto_front([(trial.loss, trial.measures.adapter_bytes) for trial in complete])
    best = record.best()
    for trial, on_front in zip(complete, front, strict=True):
        style = "bold green" if best is not None and trial.number == best.number else None
        table.add_row(*_row(record, trial), PARETO if on_front else "", style=style)
    return table


def others(record: StudyRecord) -> list[str]:
    """A line for each trial that is not complete."""
    return [f"{trial.name}: {trial.status.value}: {trial.reason}" for trial in record.trials if not trial.is_complete]


def _row(record: StudyRecord, trial: EvaluatedTrial) -> list[str]:
    arm, measures = trial.arm, trial.measures
    recipe = ["0", "-", "base model", "-", "-"]
    if arm is not None:
        recipe = [
            str(arm.rank),
            f"{arm.alpha:g}",
            set_name(arm.targets, record.target_sets),
            f"{arm.dropout:g}",
            f"{arm.learning_rate:.1e}",
        ]
    return [
        *recipe,
        f"{measures.loss:.4f}",
        show_metric(measures, record.metric),
        show_bytes(measures.peak_bytes),
        "-" if arm is None else show_bytes(measures.adapter_bytes),
        show_seconds(trial.seconds),
    ]


def show_metric(measures: Measures, metric: str) -> str:
    """The task metric, or `-` where no answers were asked for."""
    return f"{measures.metrics[metric]:.3f}" if metric in measures.metrics else "-"
