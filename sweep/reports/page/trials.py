"""The tables of trials: every trial of every stage, those that failed by reason, and the provenance."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.methods import own_words
from sweep.records import Measures, Provenance, Status, StudyRecord, TrialRecord
from sweep.reports.ladder_kind import is_cut
from sweep.reports.page.escape import web_address
from sweep.reports.tables import method_of

MOST_ROWS = 1500
UI = "http://127.0.0.1:5000/"
"""Where `mlflow ui` shows its pages."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; `key` is what it is sorted by, None for the text itself."""

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


def columns(
    metric: str, *, with_cuts: bool = False, with_methods: bool = False, with_answers: bool = False
) -> tuple[Column, ...]:
    """The columns of the table.

    Args:
        with_cuts: whether any adapter was cut; then a column says which.
        with_methods: whether several methods were tried; then a column names them.
        with_answers: whether any model was asked general questions; then a column has the share answered right.
    """
    method = (Column("method", numeric=False),)
    answers = (Column("answers", about="share of general questions answered right"),)
    made = (Column("type", numeric=False, about="whether the adapter was trained, or cut from a larger one"),)
    return (
        Column("stage", numeric=False),
        Column("trial", numeric=False),
        *(method if with_methods else ()),
        Column("rank"),
        *(made if with_cuts else ()),
        Column("alpha", about="LoRA's alpha; the update is scaled by alpha / rank, in rsLoRA by alpha / √rank"),
        Column("targets", numeric=False, about="the modules that get an adapter"),
        Column("dropout"),
        Column("rate", about="peak learning rate"),
        Column("seed"),
        Column("loss", about="nats per completion token"),
        Column(
            "bits/byte",
            about="the loss in bits per byte of the completion, which compares models with different tokenizers",
        ),
        Column(metric, about="the task metric, one is best"),
        Column("forgetting", about="rise of the loss on general prose, nats per token"),
        *(answers if with_answers else ()),
        Column("memory", about="peak while training; none for a cut adapter, which is not trained"),
        Column("adapter", about="size on disk"),
        Column("time", about="the whole trial"),
        Column("status", numeric=False),
    )


def rows(record: StudyRecord, trials: Iterable[TrialRecord]) -> list[Row]:
    """A row for each trial, in the columns of `columns`: `type` only if any adapter was cut, `method` only of several.

    Likewise `answers` only if any model was asked general questions.
    """
    listed = list(trials)
    with_cuts, with_answers = any(map(is_cut, listed)), any(map(is_asked, listed))
    return [_row(record, trial, with_cuts=with_cuts, with_answers=with_answers) for trial in listed]


def is_asked(trial: TrialRecord) -> bool:
    """Whether the model was asked general questions."""
    return trial.measures is not None and bool(trial.measures.general_right)


def _type(trial: TrialRecord) -> str:
    if trial.arm is None:
        return ""
    return "trained" if trial.arm.cut_from is None else f"cut from r{trial.arm.cut_from}"


def _link(record: StudyRecord, trial: TrialRecord) -> str | None:
    """The address of the trial's run, at a server or where `mlflow ui` shows it."""
    if record.run_page is None or trial.run_id is None:
        return None
    page = record.run_page.replace("{run}", quote(trial.run_id, safe="", errors="replace"))
    return web_address(f"{UI}{page}" if page.startswith("#") else page)


def _row(record: StudyRecord, trial: TrialRecord, *, with_cuts: bool, with_answers: bool) -> Row:
    spec, measures = trial.spec, trial.measures
    made = [Cell(_type(trial))] if with_cuts else []
    method = [Cell(spec.arm.method if spec.arm else "")] if len(record.methods()) > 1 else []
    recipe = [*method, Cell("0", 0), *made, Cell(""), Cell("base model"), Cell(""), Cell(""), Cell("")]
    if spec.arm is not None:
        recipe = [
            *method,
            Cell(str(spec.arm.rank) if spec.arm.rank else ""),
            *made,
            Cell(f"{spec.arm.alpha:g}" if spec.arm.alpha else ""),
            Cell(", ".join(filter(None, (set_name(spec.arm.targets, record.target_sets), own_words(spec.arm))))),
            Cell(f"{spec.arm.dropout:g}" if spec.arm.rank else ""),
            Cell(f"{spec.arm.learning_rate:.2g}"),
            Cell(str(spec.seed)),
        ]
    measured = [Cell("")] * (7 if with_answers else 6)
    if measures is not None:
        score = measures.metrics.get(record.metric)
        measured = [
            Cell(f"{measures.loss:.4f}"),
            Cell("" if measures.bits_per_byte is None else f"{measures.bits_per_byte:.4f}"),
            Cell("" if score is None else f"{score:.3f}"),
            Cell("" if measures.forgetting_loss_delta is None else f"{measures.forgetting_loss_delta:+.4f}"),
            *([_answers(measures)] if with_answers else []),
            Cell("") if is_cut(trial) else Cell(show_bytes(measures.peak_bytes), measures.peak_bytes),
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


def _answers(measures: Measures) -> Cell:
    return Cell("" if measures.general_accuracy is None else f"{measures.general_accuracy:.3f}")


MOST_NAMES = 6
MOST_KINDS = 25


@dataclass(frozen=True, slots=True)
class Failure:
    """Trials that ended the same way for the same reason."""

    status: str
    reason: str
    count: int
    names: str


def failures(trials: Iterable[TrialRecord]) -> list[Failure]:
    """Failed, infeasible and interrupted trials by reason, the most frequent first; pruned ones are not failures."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial.status in (Status.FAILED, Status.INFEASIBLE, Status.INTERRUPTED):
            by_reason.setdefault((trial.status.value, trial.reason or "no reason was recorded"), []).append(
                f"{trial.spec.stage.value} {trial.name}"
            )
    grouped = [Failure(status, reason, len(names), _some(names)) for (status, reason), names in by_reason.items()]
    return sorted(grouped, key=lambda failure: (-failure.count, failure.status, failure.reason))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def provenance(record: StudyRecord, trials: Sequence[TrialRecord], created: str) -> list[tuple[str, str]]:
    """Names and values in reading order; unknown ones are left out."""
    sources = [trial.provenance for trial in trials if trial.provenance is not None]
    started = [trial.started for trial in trials if trial.started > 0]
    ended = [trial.started + trial.seconds for trial in trials if trial.started > 0]
    seeds = sorted({trial.seed for trial in trials if trial.arm is not None})
    facts = [
        ("study", f"{record.name} ({record.identity})"),
        ("model", record.model),
        ("base from", _different(f"{source.base_source}, sha256 {source.base_hash}" for source in sources)),
        ("task", record.task),
        ("method", method_of(record)),
        ("data sha256", record.data_hash),
        ("device", _different(_device(source) for source in sources)),
        ("versions", _different(_versions(source) for source in sources)),
        ("seeds", ", ".join(str(seed) for seed in seeds)),
        ("first trial began", _time(min(started)) if started else ""),
        ("last trial ended", _time(max(ended)) if ended else ""),
        ("wall-clock time", f"{show_seconds(wall_clock(trials))} with a trial running" if started else ""),
        (
            "summed over trials",
            f"{show_seconds(sum(trial.seconds for trial in trials))}, those side by side counted each"
            if trials
            else "",
        ),
        ("page made", created),
    ]
    return [(name, value) for name, value in facts if value]


def wall_clock(trials: Sequence[TrialRecord]) -> float:
    """Seconds in which at least one of the trials was running; trials side by side count once."""
    spans = sorted((trial.started, trial.started + trial.seconds) for trial in trials if trial.started > 0)
    seconds, reached = 0.0, 0.0
    for began, ended in spans:
        seconds += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return seconds


def _different(values: Iterable[str]) -> str:
    """Each value once, in order."""
    return "; ".join(dict.fromkeys(values))


def _device(source: Provenance) -> str:
    products = f", products with the base in {source.compute}" if source.compute else ""
    return f"{source.device}, {source.threads} threads{products}"


def _versions(source: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(source.versions.items()))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
