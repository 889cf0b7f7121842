"""The pages under `mlruns/reports/STUDY`: index.html with ladder.svg, and compare-OTHER.html."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from sweep.records import StudyRecord
from sweep.reports.ladder_picture import LADDER_PICTURE, draw_ladder
from sweep.reports.page import Beside, answer_of, contrasts, render, render_comparison
from sweep.reports.replacing import replace_text
from sweep.reports.steps import open_runs, steps
from sweep.store.paths import Paths, checked_name
from sweep.store.trials import SCORES, TrialStore
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion


def write_page(
    record: StudyRecord,
    conclusion: Conclusion | None,
    paths: Paths,
    tracking_uri: str | None = None,
) -> list[Path]:
    """Writes the page and the picture of the ladder; returns the files. A half-written file is never seen.

    Args:
        tracking_uri: MLflow's, or None for the database under `mlruns/`.
    """
    folder = paths.report(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    store = TrialStore(paths)
    beside = Beside(
        created=_now(),
        contrasts=contrasts(record, conclusion, lambda identity: store.folder(identity) / SCORES),
        open_runs=open_runs(paths, tracking_uri),
    )
    answer = answer_of(record, conclusion, tuple(steps(record, conclusion, paths, tracking_uri)))
    page, picture = paths.page(record.name), folder / LADDER_PICTURE
    replace_text(page, render(record, conclusion, answer, beside))
    fresh = picture.with_name(f".{LADDER_PICTURE}.{os.getpid()}.svg")
    if not draw_ladder(record, conclusion, fresh):
        picture.unlink(missing_ok=True)
        return [page]
    fresh.replace(picture)
    return [page, picture]


def write_comparison(first: StudyRecord, second: StudyRecord, paths: Paths) -> Path:
    """Writes the page of two studies into the first one's folder; returns the file."""
    folder = paths.report(first.name)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"compare-{checked_name(second.name)}.html"
    replace_text(page, render_comparison((first, conclude(first)), (second, conclude(second)), _now()))
    return page


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
