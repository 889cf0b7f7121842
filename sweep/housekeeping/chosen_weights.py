"""Which adapters a study's answer rests on: the one that is handed out, and the one that it was cut from."""

from __future__ import annotations

from sweep.records import CompletedTrial, StudyRecord
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen


def chosen_trials(record: StudyRecord) -> list[CompletedTrial]:
    """The trial whose adapter is handed out, then the one whose adapter it was cut from; empty without a complete trial."""
    trial = chosen(record, conclude(record))
    if trial is None:
        return []
    certification = record.certification
    if trial.arm.cut_from is None or certification is None:
        return [trial]
    parents = [whole for whole in certification.complete(trial.arm.cut_from) if whole.seed == trial.seed]
    return [trial, *(parent for parent in parents if parent.arm.cut_from is None)]
