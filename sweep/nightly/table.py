"""All nights as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.config.units import show_seconds
from sweep.nightly.night import Outcome
from sweep.nightly.rows import Row

_STYLES = {
    Outcome.DONE: "green",
    Outcome.UNFINISHED: "cyan",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "yellow",
    Outcome.MISSED: "yellow",
}
MARK = "*"
"""Before nights on which the answer, the adapter in use or the data changed, or that gave no result."""


def print_nights(rows: Sequence[Row], out: Console) -> None:
    """Prints the nights in order, the latest last, and what they cost together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("night", no_wrap=True)
    for name in ("study", "outcome", "verdict"):
        table.add_column(name, overflow="fold")
    table.add_column("rank", justify="right", overflow="fold")
    for name in ("score", "loss", "trials", "min"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("margin", overflow="fold", max_width=20)
    table.add_column("what changed", overflow="fold", ratio=1)
    for row in rows:
        night = row.night
        by = "" if night.schedule == night.study else f" (by {night.schedule})"
        table.add_row(
            f"{MARK if row.matters else ' '} {night.date}",
            f"{night.study}{by}",
            Text(night.outcome, style=_STYLES[night.outcome]),
            row.status,
            row.chosen,
            row.score,
            row.loss,
            str(night.trained),
            row.minutes,
            row.margin_in_short,
            row.words,
        )
    out.print(table)
    out.print()
    seconds, trials = sum(row.night.seconds for row in rows), sum(row.night.trained for row in rows)
    out.print(
        f"{len(rows)} night{'' if len(rows) == 1 else 's'}: {show_seconds(seconds)}, {trials} trial{'' if trials == 1 else 's'}. "
        f"{MARK} marks a change of answer, adapter or data, and a night without a result. Score is on test, loss on certify.",
    )
