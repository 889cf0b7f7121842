"""The page over all nights: one HTML file without anything from a network, `mlruns/nightly/index.html`."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from sweep.config.units import show_seconds
from sweep.nightly.night import Night, Outcome
from sweep.nightly.plots import HEIGHT, WIDTH, plots
from sweep.nightly.rows import Row, by_study, rows_of
from sweep.reports.page.assemble import assemble
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text

MOST_ROWS = 1000
"""The latest nights; `python -m sweep.nights` prints all."""


def write_page(nights: Sequence[Night], paths: Paths) -> Path:
    """Writes the page; returns the file. A half-written file is never seen."""
    page = paths.nights_page
    page.parent.mkdir(parents=True, exist_ok=True)
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    replace_text(page, render(nights, paths, created))
    return page


def render(nights: Sequence[Night], paths: Paths, created: str) -> str:
    """The page as HTML; the same for the same arguments and the same notes and reports on disk."""
    rows = rows_of(nights)
    latest_first = rows[: -MOST_ROWS - 1 : -1]
    studies = by_study(rows)
    return assemble(
        "nights.html.j2",
        [],
        studies=[(each, plots(each.rows)) for each in studies],
        rows=latest_first,
        total=len(rows),
        facts=_facts(rows),
        outcomes=sorted({row.night.outcome.value for row in rows}),
        note_of=lambda row: _note_link(row.night, paths),
        report_of=lambda study: _link(paths.page(study), paths),
        width=WIDTH,
        height=HEIGHT,
        created=created,
    )


def _note_link(night: Night, paths: Paths) -> str | None:
    of_study = _link(paths.night_note(night.schedule, night.date, night.study), paths)
    return of_study or _link(paths.night_note(night.schedule, night.date), paths)


def _link(file: Path, paths: Paths) -> str | None:
    """The file from where the page is; None if it does not exist."""
    if not file.is_file():
        return None
    return Path(os.path.relpath(file, paths.nights_page.parent)).as_posix()


def _facts(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Name, value, and a value to compare it with."""
    count = {outcome: sum(row.night.outcome is outcome for row in rows) for outcome in Outcome}
    lost = count[Outcome.FAILED] + count[Outcome.SKIPPED] + count[Outcome.MISSED]
    trained = sum(row.night.trained for row in rows)
    facts = [
        ("nights", f"{len(rows)}", f"since {rows[0].night.date}" if rows else ""),
        ("done", f"{count[Outcome.DONE]}", f"{count[Outcome.UNFINISHED]} unfinished"),
        (
            "without a result",
            f"{lost}",
            ", ".join(
                f"{count[outcome]} {outcome}"
                for outcome in (Outcome.FAILED, Outcome.SKIPPED, Outcome.MISSED)
                if count[outcome]
            ),
        ),
        ("time", show_seconds(sum(row.night.seconds for row in rows)), f"{trained} trial{'' if trained == 1 else 's'}"),
    ]
    changed = [row for row in rows if any(change.matters for change in row.changes)]
    facts.append(("answers changed", f"{len(changed)}", f"last on {changed[-1].night.date}" if changed else ""))
    return facts
