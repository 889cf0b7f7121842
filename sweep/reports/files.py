"""What a study leaves under `mlruns/reports/STUDY`: verdict.json, the chosen adapter, pictures and pages."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from pathlib import Path

from sweep.errors import EnvironmentLacks
from sweep.records import StudyRecord
from sweep.reports.changed_answers import changed_answers
from sweep.reports.handout import hand_out
from sweep.reports.page import Beside, answer_of, contrasts, render, render_comparison, samples
from sweep.reports.pictures import LADDER_PICTURE, PICTURE, draw_ladder, draw_pareto
from sweep.reports.steps import open_runs, steps
from sweep.store.paths import Paths, checked_name
from sweep.store.trials import SCORES, TrialStore
from sweep.store.whole_file import replace_text
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen
from sweep.verdict.verdict_json import verdict_json


def write_report(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> list[Path]:
    """Writes verdict.json, the chosen adapter and the picture; returns the files. A half-written file is never seen.

    Raises:
        EnvironmentLacks: the adapter's trial was deleted.
    """
    folder = paths.report(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    contents = verdict_json(record, conclusion, created)
    replace_text(paths.verdict(record.name), json.dumps(contents, indent=2, allow_nan=False) + "\n")
    _copy_adapter(record, conclusion, paths)
    if not record.complete():
        return [paths.verdict(record.name)]
    picture = folder / PICTURE
    fresh = picture.with_name(f".{PICTURE}.{os.getpid()}.svg")
    draw_pareto(record, fresh)
    fresh.replace(picture)
    return [paths.verdict(record.name), picture]


def _copy_adapter(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> None:
    trial = chosen(record, conclusion)
    if trial is None:
        return
    store, spec = TrialStore(paths), trial.spec
    if spec.adapter:
        store.adapters.find(spec.adapter)  # a damaged one is set aside, and never handed out
    source = store.adapter_folder(spec)
    target = paths.adapter(record.name)
    if not source.is_dir():
        if target.is_dir():
            return
        raise EnvironmentLacks(
            f"the chosen trial's adapter is gone ({source}); run the study again, `{record.command}`, and it is trained again, or "
            f"copy it from the trial's MLflow run {trial.run_id}"
        )
    hand_out(record, conclusion, trial, source, target, paths.models)


def write_page(
    record: StudyRecord,
    conclusion: Conclusion | None,
    paths: Paths,
    tracking_uri: str | None = None,
) -> list[Path]:
    """Writes the page, the picture of the ladder and the table of changed answers; returns the files. A half-written file is never seen.

    Args:
        tracking_uri: MLflow's, or None for the database under `mlruns/`.
    """
    folder = paths.report(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    store = TrialStore(paths)

    def scores_of(identity: str) -> Path:
        return store.folder(identity) / SCORES

    beside = Beside(
        created=_now(),
        contrasts=contrasts(record, conclusion, scores_of),
        samples=samples(record, conclusion, scores_of),
        open_runs=open_runs(paths, tracking_uri),
    )
    answer = answer_of(record, conclusion, tuple(steps(record, conclusion, paths, tracking_uri)))
    page, picture = paths.page(record.name), folder / LADDER_PICTURE
    replace_text(page, render(record, conclusion, answer, beside))
    changed = _write_changed_answers(record, conclusion, paths, scores_of)
    fresh = picture.with_name(f".{LADDER_PICTURE}.{os.getpid()}.svg")
    if not draw_ladder(record, conclusion, fresh):
        picture.unlink(missing_ok=True)
        return [page, *changed]
    fresh.replace(picture)
    return [page, picture, *changed]


def _write_changed_answers(
    record: StudyRecord, conclusion: Conclusion | None, paths: Paths, scores_of: Callable[[str], Path]
) -> list[Path]:
    """Writes the table of changed answers, or removes an earlier one; returns the file, if there is one."""
    file, text = paths.changed_answers(record.name), changed_answers(record, conclusion, scores_of)
    if text is None:
        file.unlink(missing_ok=True)
        return []
    replace_text(file, text)
    return [file]


def write_comparison(first: StudyRecord, second: StudyRecord, paths: Paths) -> Path:
    """Writes the page of two studies into the first one's folder; returns the file."""
    folder = paths.report(first.name)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"compare-{checked_name(second.name)}.html"
    replace_text(page, render_comparison((first, conclude(first)), (second, conclude(second)), _now()))
    return page


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
