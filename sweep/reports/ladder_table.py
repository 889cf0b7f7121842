"""The tables of the verdict in the terminal: the ladder rank by rank, and the test scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from sweep.config.units import show_bytes, show_seconds
from sweep.records import EvaluatedTrial, StudyRecord, rung_words
from sweep.reports.ladder_kind import (
    EDGE,
    EDGE_MEANS,
    ENERGY,
    LadderKind,
    is_cut,
    kept_words,
    ladder_kind,
)
from sweep.reports.tables import plain_table
from sweep.verdict import MarginOf, State
from sweep.verdict.conclusion import Conclusion, on_test, rank_results
from sweep.verdict.cost import gap_to_full
from sweep.verdict.figures import confidence
from sweep.verdict.ladder import RankResult
from sweep.verdict.terms import RANKS, terms_of

SYMBOLS = {State.CERTIFIED: "●", State.INFERIOR: "✗", State.FORGETS: "✗", State.UNDECIDED: "?"}
CHOSEN = "→"
NEAREST = "nearest training example"
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the ladder's table, after rank and state.

    Attributes:
        of: the cell of a rank.
        base: the cell of the base model.
    """

    name: str
    of: Callable[[RankResult], str]
    base: str = _UNKNOWN


def ladder_table(record: StudyRecord, conclusion: Conclusion) -> Table:
    """Each rank's state, evaluation and costs; the base first, ranks that could not be compared last.

    Of a cut ladder, what belongs to the one training (rate, memory, time) is in `training_line` instead.
    """
    kind = ladder_kind(record, conclusion)
    columns = _columns(record, kind, rank_results(record, conclusion))
    table = plain_table(f"{kind.terms.many}, on certify")
    table.add_column(kind.terms.one, justify="right" if kind.terms is RANKS else "left")
    table.add_column("state")
    for column in columns:
        table.add_column(column.name, justify="right")
    if record.certification is not None and record.certification.base is not None:
        table.add_row("0" if kind.terms is RANKS else "", "base model", *(column.base for column in columns))
    for row in rank_results(record, conclusion):
        chosen = row.rank == conclusion.rank
        name = f"{CHOSEN} {row.rank}" if chosen else str(row.rank)
        cells = (name, f"{SYMBOLS[row.state]} {row.state.value}", *(column.of(row) for column in columns))
        table.add_row(*cells, style="bold green" if chosen else None)
    for left in conclusion.left_out:
        table.add_row(str(left.rank), left.status, *[_UNKNOWN] * len(columns), style="yellow")
    return table


def _columns(record: StudyRecord, kind: LadderKind, rows: Sequence[RankResult]) -> list[_Column]:
    base = record.certification.base if record.certification else None
    evaluated = [
        _Column("seeds", lambda row: str(row.seeds)),
        _Column("loss", lambda row: f"{row.loss:.4f}", f"{base.loss:.4f}" if base else _UNKNOWN),
        _Column(f"gap to\n{kind.short}", lambda row: _figure(kind.gap(row), 4)),
        _Column("upper\nbound", lambda row: _figure(kind.bounds(row)[1], 4)),
        _Column(
            record.metric,
            lambda row: _figure(row.metrics.get(record.metric), 3),
            _figure(base.metric(record.metric), 3) if base else _UNKNOWN,
        ),
        *_forgetting(base, rows, kind),
        _Column("adapter", lambda row: show_bytes(row.adapter_bytes)),
    ]
    if kind.is_cut:
        return [_Column("energy\nkept", kept_words), *evaluated]
    if kind.terms is not RANKS:
        evaluated += [
            _Column("gap to\nfull", lambda row: _figure(gap_to_full(row, rows), 4)),
            _Column("trained", lambda row: f"{100 * row.trainable_fraction:.3g} %"),
        ]
    return [
        _Column("rate", lambda row: f"{row.learning_rate:.1e}{EDGE if row.at_edge else ''}"),
        *evaluated,
        _Column("peak\nmemory", lambda row: show_bytes(row.peak_memory_bytes)),
        _Column("train\ntime", lambda row: show_seconds(row.train_seconds)),
    ]


def _forgetting(base: EvaluatedTrial | None, rows: Sequence[RankResult], kind: LadderKind) -> list[_Column]:
    """The columns of forgetting; a trained ladder, which has more of others, shows the bound alone, and no answers."""
    rise, bound = (_Column(name, of) for name, of in _FORGETS)
    columns = [rise] if kind.is_cut or not _is_limited(rows) else [bound]
    if kind.is_cut and _is_limited(rows):
        columns.append(replace(bound, name="at\nmost"))
    if kind.is_cut and _is_asked(rows):
        known = base.measures.general_accuracy if base else None
        columns.append(_Column("general\nanswers", lambda row: _figure(row.general_accuracy, 3), _figure(known, 3)))
    return columns


_FORGETS: tuple[tuple[str, Callable[[RankResult], str]], ...] = (
    ("forgets", lambda row: _signed(row.forgetting)),
    ("forgets\nat most", lambda row: _signed(row.forgetting_bound)),
)


def _is_limited(rows: Sequence[RankResult]) -> bool:
    return any(row.verdict.forgetting is not None for row in rows)


def _is_asked(rows: Sequence[RankResult]) -> bool:
    return any(row.general_accuracy is not None for row in rows)


def training_line(record: StudyRecord, conclusion: Conclusion) -> str | None:
    """Of a cut ladder: what was trained, and what that took; None where each rank was trained."""
    training = ladder_kind(record, conclusion).training
    return training.words() if training is not None else None


def legend(record: StudyRecord, conclusion: Conclusion) -> str:
    """What the columns of the ladder's table mean."""
    kind = ladder_kind(record, conclusion)
    rows = rank_results(record, conclusion)
    at_edge = kind.training is not None and kind.training.at_edge if kind.is_cut else any(row.at_edge for row in rows)
    edge = f"; {EDGE_MEANS}" if at_edge else ""
    parts = [f"loss: nats per completion token{_in_bits(rows)}, mean over seeds"]
    if kind.is_cut:
        parts.insert(0, f"energy kept: {ENERGY}")
    if any(row.forgetting is not None for row in rows):
        parts.append("forgets: rise of the loss on general prose")
    declared = record.certification.declared if record.certification else record.declaration
    if _is_limited(rows):
        sure = confidence(declared.alpha)
        parts.append(
            f"at most: its upper bound, with {sure} confidence, which must be below {declared.max_forgetting:g} to be certified"
        )
    if kind.is_cut and _is_asked(rows):
        parts.append("general answers: share of general questions answered right")
    if declared.arms:
        parts += [f"the cheapest method first, by {declared.cost}", "gap to full: loss minus that of full fine-tuning"]
        parts += ["trained: share of the model's parameters"]
    if conclusion.verdict is None:
        return "; ".join(parts) + edge
    verdict = conclusion.verdict
    by_metric = verdict.margin_of is MarginOf.METRIC
    what = record.metric if by_metric else "loss"
    margin = f"{verdict.margin_in_loss:.4f}{'' if by_metric else ' nats'}"
    to = f"{kind.reference}, seed by seed" if kind.is_cut else kind.reference
    parts += [
        f"gap to {kind.short}: estimated difference in {what} to {to}",
        f"upper bound: of that gap, with {confidence(verdict.alpha)} confidence",
        f"certified if the upper bound is below the margin of {margin}",
    ]
    return "; ".join(parts) + edge


def _in_bits(rows: Sequence[RankResult]) -> str:
    """What a nat per token is in bits per byte, the same for all ranks; empty where it is not known."""
    known = [row.bits_per_byte / row.loss for row in rows if row.bits_per_byte is not None and row.loss > 0]
    return f" (1 nat is {known[0]:.3f} bits per byte)" if known else ""


def test_table(record: StudyRecord, conclusion: Conclusion) -> Table | None:
    """Base, chosen and largest rank on test; None before that."""
    tested = on_test(record, conclusion)
    if not tested:
        return None
    table = plain_table("on test, evaluated once")
    table.add_column("")
    for name in ("loss", "bits/byte", record.metric, "forgets", "general\nanswers"):
        table.add_column(name, justify="right")
    for name, trial in tested.items():
        chosen = name == "goldilocks" and conclusion.rank is not None
        figures = (
            f"{trial.loss:.4f}",
            _figure(trial.measures.bits_per_byte, 4),
            _figure(trial.metric(record.metric), 3),
            _signed(trial.measures.forgetting_loss_delta if trial.arm is not None else None),
            _figure(trial.measures.general_accuracy, 3),
        )
        table.add_row(_who(record, name, trial, conclusion), *figures, style="bold green" if chosen else None)
        if (nearest := trial.nearest(record.metric)) is not None:
            table.add_row(NEAREST, _UNKNOWN, _UNKNOWN, _figure(nearest, 3), _UNKNOWN, _UNKNOWN)
    return table


def _who(record: StudyRecord, name: str, trial: EvaluatedTrial, conclusion: Conclusion) -> str:
    if trial.arm is None:
        return "base model"
    rung = record.certification.rung_of(trial) if record.certification else trial.rank
    label = "chosen" if name == "goldilocks" else terms_of([rung]).greatest
    if name == "goldilocks" and rung != conclusion.rank:
        label = "best so far" if conclusion.rank is None else "handed out"
    cut = f", cut from {trial.arm.cut_from}" if is_cut(trial) else ""
    return f"{label}: {rung_words(rung)}{cut}"


def _figure(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:+.3f}"
