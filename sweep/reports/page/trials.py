"""The table of all trials of all stages: what stands in each cell, and what it is sorted by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.records import StudyRecord, TrialRecord
from sweep.reports.page.escape import web_address

MOST_ROWS = 1500
UI = "http://127.0.0.1:5000/"
"""Where `mlflow ui` shows its pages."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; `key` is what it is sorted by where that is not the text."""

    text: str
    key: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A trial: its cells in the order of `columns`, its stage and status for the filters, its run's address."""

    stage: str
    status: str
    cells: tuple[Cell, ...]
    link: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    title: str
    numeric: bool = True
    about: str = ""


def columns(metric: str) -> tuple[Column, ...]:
    """The columns of the table."""
    return (
        Column("stage", numeric=False),
        Column("trial", numeric=False),
        Column("rank"),
        Column("alpha", about="LoRA's alpha; the update is scaled by alpha / rank, in rsLoRA by alpha / √rank"),
        Column("targets", numeric=False, about="the modules that get an adapter"),
        Column("dropout"),
        Column("rate", about="peak learning rate"),
        Column("seed"),
        Column("loss", about="nats a completion token"),
        Column(metric, about="the task metric, one is best"),
        Column("memory", about="peak while training"),
        Column("adapter", about="size on disk"),
        Column("time", about="the whole trial"),
        Column("status", numeric=False),
    )


def rows(record: StudyRecord, trials: Iterable[TrialRecord]) -> list[Row]:
    """A row for each trial."""
    return [_row(record, trial) for trial in trials]


def _link(record: StudyRecord, trial: TrialRecord) -> str | None:
    """The address of the trial's run, at a server or where `mlflow ui` shows it."""
    if record.run_page is None or trial.run_id is None:
        return None
    page = record.run_page.replace("{run}", quote(trial.run_id, safe="", errors="replace"))
    return web_address(f"{UI}{page}" if page.startswith("#") else page)


def _row(record: StudyRecord, trial: TrialRecord) -> Row:
    spec, measures = trial.spec, trial.measures
    recipe = [Cell("0", 0), Cell(""), Cell("base model"), Cell(""), Cell(""), Cell("")]
    if spec.arm is not None:
        recipe = [
            Cell(str(spec.arm.rank)),
            Cell(f"{spec.arm.alpha:g}"),
            Cell(set_name(spec.arm.targets, record.target_sets)),
            Cell(f"{spec.arm.dropout:g}"),
            Cell(f"{spec.arm.learning_rate:.2g}"),
            Cell(str(spec.seed)),
        ]
    measured = [Cell("")] * 4
    if measures is not None:
        score = measures.metrics.get(record.metric)
        measured = [
            Cell(f"{measures.loss:.4f}"),
            Cell("" if score is None else f"{score:.3f}"),
            Cell(show_bytes(measures.peak_bytes), measures.peak_bytes),
            Cell(show_bytes(measures.adapter_bytes), measures.adapter_bytes) if spec.arm else Cell(""),
        ]
    took = Cell(show_seconds(trial.seconds), round(trial.seconds, 1))
    status = trial.status.value
    return Row(
        stage=spec.stage.value,
        status=status,
        cells=(Cell(spec.stage.value), Cell(trial.name), *recipe, *measured, took, Cell(status)),
        link=_link(record, trial),
    )
