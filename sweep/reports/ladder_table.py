"""The ladder under judgement, rank by rank, and what was scored on test."""

from __future__ import annotations

from rich import box
from rich.table import Table

from sweep.config.units import show_bytes, show_seconds
from sweep.records import StudyRecord
from sweep.verdict import MarginOf, State
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.figures import confidence
from sweep.verdict.ladder import LadderRow, ladder_rows, on_test

SYMBOLS = {State.CERTIFIED: "●", State.INFERIOR: "✗", State.UNDECIDED: "?"}
CHOSEN = "→"
EDGE = "!"
NAMES = {"base": "base model", "goldilocks": "chosen: rank", "largest": "largest: rank"}
_UNKNOWN = "-"


def ladder_table(record: StudyRecord, conclusion: Conclusion) -> Table:
    """Each rank's state with what it is worth and costs; the base first, ranks that could not be compared last."""
    table = _table("ranks, on certify")
    table.add_column("rank", justify="right")
    table.add_column("state")
    for name in (
        "rate",
        "seeds",
        "loss",
        "worse\nby",
        "at\nmost",
        record.metric,
        "adapter",
        "peak\nmemory",
        "train\ntime",
    ):
        table.add_column(name, justify="right")
    base = record.certification.base if record.certification else None
    if base is not None:
        loss, metric = f"{base.loss:.4f}", _metric(base.metric(record.metric))
        table.add_row("0", "base model", _UNKNOWN, _UNKNOWN, loss, _UNKNOWN, _UNKNOWN, metric, *[_UNKNOWN] * 3)
    for row in ladder_rows(record, conclusion):
        chosen = row.rank == conclusion.rank
        table.add_row(*_cells(row, record.metric, chosen=chosen), style="bold green" if chosen else None)
    for left in conclusion.left_out:
        table.add_row(str(left.rank), left.status, *[_UNKNOWN] * 9, style="yellow")
    return table


def legend(record: StudyRecord, conclusion: Conclusion) -> str:
    """What the figures of the ladder's table are."""
    rows = ladder_rows(record, conclusion)
    edge = f"; {EDGE} at the edge of the rates that may be tried" if any(row.at_edge for row in rows) else ""
    if conclusion.verdict is None:
        return f"loss: nats a completion token, mean over seeds{edge}"
    verdict = conclusion.verdict
    by_metric = verdict.margin_of is MarginOf.METRIC
    what = record.metric if by_metric else "loss"
    margin = f"{verdict.margin_in_loss:.4f}{'' if by_metric else ' nats'}"
    return (
        f"loss: nats a completion token, mean over seeds; worse by: difference in {what} to the best rank, and at most by the "
        f"upper bound ({confidence(verdict.alpha)} confidence), certified below the margin of {margin}{edge}"
    )


def scored_on_test(record: StudyRecord, conclusion: Conclusion) -> Table | None:
    """Base, chosen and largest rank on test; None before that."""
    scored = on_test(record, conclusion)
    if not scored:
        return None
    table = _table("on test, scored once")
    table.add_column("")
    for name in ("loss", record.metric):
        table.add_column(name, justify="right")
    for name, trial in scored.items():
        rank = trial.rank
        chosen = name == "goldilocks" and conclusion.rank is not None
        label = (
            NAMES[name]
            if rank == 0
            else f"{NAMES[name] if chosen or name == 'largest' else 'best so far: rank'} {rank}"
        )
        figures = (f"{trial.loss:.4f}", _metric(trial.metric(record.metric)))
        table.add_row(label, *figures, style="bold green" if chosen else None)
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def _cells(row: LadderRow, metric: str, *, chosen: bool) -> list[str]:
    return [
        f"{CHOSEN} {row.rank}" if chosen else str(row.rank),
        f"{SYMBOLS[row.state]} {row.state.value}",
        f"{row.learning_rate:.1e}{EDGE if row.at_edge else ''}",
        str(row.seeds),
        f"{row.loss:.4f}",
        f"{row.diff_to_best:.4f}",
        _UNKNOWN if row.upper_bound is None else f"{row.upper_bound:.4f}",
        _metric(row.metrics.get(metric)),
        show_bytes(row.adapter_bytes),
        show_bytes(row.peak_memory_bytes),
        show_seconds(row.train_seconds),
    ]


def _metric(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3f}"
