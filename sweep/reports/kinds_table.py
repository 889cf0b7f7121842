"""The task metric by kind of example, on certify and on test, with the number of examples behind each score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from sweep.records import StudyRecord, rung_words
from sweep.reports.tables import plain_table
from sweep.verdict.conclusion import Conclusion, chosen, kinds_on_test
from sweep.verdict.kinds import KindScore

WEAK = "!"
MOST = 12
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of example.

    Attributes:
        weak: whether the adapter is of little use on it, by the certify split.
        certify: its scores on certify.
        test: its scores on test; None before the test stage.
        nearest: on test, of the nearest training examples' answers; None where it is not recorded.
    """

    kind: str
    weak: bool
    certify: KindScore | None
    test: KindScore | None
    nearest: float | None = None

    def splits(self) -> tuple[KindScore | None, KindScore | None]:
        """Certify and test."""
        return self.certify, self.test


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of a study.

    Attributes:
        rows: by name; if there are more than `MOST`, those with the lowest scores on certify.
        left_out: number of kinds that are not among the rows.
        rank: whose adapter is handed out.
        largest: the ladder's largest rank; None if that is `rank`.
        on_test: whether there are scores on test.
        with_nearest: whether there are scores of the nearest training examples' answers on test.
    """

    rows: tuple[KindRow, ...]
    left_out: int
    rank: int
    largest: int | None
    on_test: bool
    with_nearest: bool = False


def kinds_of(record: StudyRecord, conclusion: Conclusion | None) -> Kinds | None:
    """The kinds of a study with a verdict; None if its examples have fewer than two."""
    certification, handed_out = record.certification, chosen(record, conclusion)
    if conclusion is None or certification is None or handed_out is None or len(conclusion.kinds) < 3:
        return None
    certify = {score.kind: score for score in conclusion.kinds[1:]}
    test = {score.kind: score for score in kinds_on_test(record, conclusion)[1:]}
    weak = {score.kind for score in conclusion.weak_kinds}
    tested = certification.on_test()
    rows = [
        KindRow(
            kind,
            kind in weak,
            certify.get(kind),
            test.get(kind),
            tested[0].nearest(f"{record.metric}/{kind}") if 0 in tested else None,
        )
        for kind in sorted({*certify, *test})
    ]
    shown = sorted(sorted(rows, key=_score)[:MOST], key=lambda row: row.kind)
    rank = conclusion.hands_out
    largest = certification.complete_ranks()[-1]
    with_nearest = any(row.nearest is not None for row in rows)
    other = largest if largest != rank else None
    return Kinds(tuple(shown), len(rows) - len(shown), rank, other, bool(test), with_nearest)


def kinds_table(record: StudyRecord, kinds: Kinds) -> Table:
    """The kinds as they are printed."""
    title = f"{record.metric} by kind of example" + (
        f", the {MOST} lowest of {MOST + kinds.left_out}" if kinds.left_out else ""
    )
    table = plain_table(title)
    table.add_column("kind", overflow="fold", max_width=28)
    for split in ("certify", "test") if kinds.on_test else ("certify",):
        for name in _columns(kinds):
            table.add_column(f"{split}\n{name}", justify="right")
    if kinds.with_nearest:
        table.add_column("test\nnearest", justify="right")
    for row in kinds.rows:
        cells = [cell for score in row.splits()[: 1 + kinds.on_test] for cell in _cells(score, kinds)]
        cells += [_figure(row.nearest)] if kinds.with_nearest else []
        mark = f" {WEAK}" if row.weak else ""
        table.add_row(f"{row.kind}{mark}", *cells, style="yellow" if row.weak else None)
    return table


def _columns(kinds: Kinds) -> Sequence[str]:
    return ("examples", "base", rung_words(kinds.rank), *([rung_words(kinds.largest)] if kinds.largest else []))


def _cells(score: KindScore | None, kinds: Kinds) -> Sequence[str]:
    if score is None:
        return [_UNKNOWN] * len(_columns(kinds))
    largest = [_figure(score.largest)] if kinds.largest else []
    examples = _UNKNOWN if score.examples is None else str(score.examples)
    return [examples, _figure(score.base), _figure(score.chosen), *largest]


def _score(row: KindRow) -> float:
    return row.certify.chosen if row.certify is not None else 2.0


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"
