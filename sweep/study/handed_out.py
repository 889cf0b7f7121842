"""Whether the adapter that the study hands out is there, and how it is made again where it is not."""

from __future__ import annotations

import json

from sweep.records import CompletedTrial, StudyRecord, TrialRecord
from sweep.store.paths import ORIGIN, Paths
from sweep.store.safetensors_size import size_problem
from sweep.store.trials import TrialStore
from sweep.study.invocation import Invocation
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen


def missing_adapter(record: StudyRecord, store: TrialStore, paths: Paths) -> CompletedTrial | None:
    """The trial whose adapter the study hands out, if that adapter is neither in the store nor in the report; else None."""
    trial = chosen(record, conclude(record))
    if trial is None:
        return None
    spec = trial.spec
    if spec.adapter and store.adapters.find(spec.adapter) is not None:
        return None
    if any(size_problem(file) is None for file in store.adapter_folder(spec).glob("*.safetensors")):
        return None
    return None if _is_in_report(record, trial, paths) else trial


def make_again(call: Invocation, record: StudyRecord) -> None:
    """Trains the adapter again that the study hands out, if it is gone; its scores stay as they were recorded."""
    trial = missing_adapter(record, call.session.store, call.paths)
    if trial is None:
        return
    spec = call.spec_of(trial.result)
    call.display.note(f"the adapter of {spec.name}, which this study hands out, is gone; it is trained again")
    call.display.planned(1, 0)
    call.session.begin(1, spec, lambda step, loss: False, lambda record: None, again=True)
    call.session.finish_all()


def _is_in_report(record: StudyRecord, trial: TrialRecord, paths: Paths) -> bool:
    folder = paths.adapter(record.name)
    weights = list(folder.glob("*.safetensors"))
    if not weights or any(size_problem(file) for file in weights):
        return False
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return bool(origin["trial"] == trial.spec.identity)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # of a version that did not note it
