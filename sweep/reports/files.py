"""What a study leaves under `mlruns/reports/STUDY`: verdict.json, the chosen adapter and a picture."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

from sweep.errors import EnvironmentLacks
from sweep.records import StudyRecord
from sweep.reports.handout import hand_out
from sweep.reports.plot import PICTURE, draw_pareto
from sweep.reports.replacing import replace_text
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.verdict.chosen import chosen
from sweep.verdict.conclusion import Conclusion
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
