"""The final stage: test losses of the base, the chosen and the largest rank, and the adapter that the study hands out."""

from __future__ import annotations

import json
from functools import partial

from sweep.records import CompletedTrial, Split, Stage, StudyPlan, StudyRecord, TrialRecord, TrialSpec
from sweep.search.certification import StoredCertification
from sweep.search.study import SearchStudy
from sweep.store.identity import is_current
from sweep.store.paths import ORIGIN, Paths
from sweep.store.trials import TrialStore
from sweep.store.whole_folder import size_problem
from sweep.study.study_run import StudyRun
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen


def evaluate_on_test(run: StudyRun, study: SearchStudy, stored: StoredCertification) -> None:
    """Evaluates base, chosen and largest rank on test, once; no choice depends on the results.

    Raises:
        BudgetSpent: trials are left for a later run.
        NoTrialSucceeded: the base could not be evaluated.
        Interrupted: the sweep was asked to stop; all finished trials are kept.
    """
    missing = run.evenly(_missing_on_test(run, study.record()))
    run.run_all(missing, tell=partial(run.save, stored))
    left = _missing_on_test(run, study.record())
    if left:
        names = ", ".join(spec.name for spec in left)
        run.display.note(f"not evaluated on test: {names}; the same command tries again")


def is_evaluated_on_test(plan: StudyPlan, record: StudyRecord) -> bool:
    """Whether no evaluation on test is missing."""
    return not _base_is_missing(plan, record) and not _missing_adapters(plan, record)


def trials_for_test(record: StudyRecord) -> list[CompletedTrial]:
    """The certify trials whose adapters are evaluated on test: the one handed out, and the best of the largest rank."""
    certification = record.certification
    conclusion = conclude(record)
    if certification is None or conclusion is None:
        return []
    handed_out = chosen(record, conclusion)
    ranks = certification.complete_ranks()
    if handed_out is None or not ranks:
        return []
    largest = min(certification.complete(ranks[-1]), key=lambda trial: trial.loss)
    own = [
        trial
        for trial in certification.complete(certification.rung_of(handed_out))
        if trial.identity == handed_out.identity
    ]
    return own if largest in own else [*own, largest]


def missing_adapter(record: StudyRecord, store: TrialStore, paths: Paths) -> CompletedTrial | None:
    """The trial whose adapter the study hands out, if neither the store nor the report has that adapter; else None."""
    trial = chosen(record, conclude(record))
    if trial is None:
        return None
    spec = trial.spec
    if spec.adapter and store.adapters.find(spec.adapter) is not None:
        return None
    if any(size_problem(file) is None for file in store.adapter_folder(spec).glob("*.safetensors")):
        return None
    return None if _is_in_report(record, trial, paths) else trial


def restore_adapter(run: StudyRun, record: StudyRecord) -> None:
    """Trains or cuts the adapter that the study hands out again if it is missing; its recorded losses stay."""
    trial = missing_adapter(record, run.session.store, run.paths)
    if trial is None:
        return
    spec = run.spec_again(trial.result)
    again = "trained" if trial.arm.cut_from is None else "cut"
    run.display.note(f"the adapter of {spec.name}, which this study hands out, is gone; it is {again} again")
    run.display.planned(1, 0)
    for _ in run.session.run([spec], retrain=True):
        pass


def _missing_on_test(run: StudyRun, record: StudyRecord) -> list[TrialSpec]:
    """The specs that are missing on test, the base first. An adapter that is gone is trained again."""
    specs = [run.base_spec(Split.TEST)] if _base_is_missing(run.plan, record) else []
    for trial in _missing_adapters(run.plan, record):
        spec = run.spec(Stage.FINAL, trial.arm, trial.seed, split=Split.TEST, adapter_of=trial.identity)
        run.session.store.adapters.adopt(spec.adapter, trial.result)
        specs.append(spec)
    return specs


def _base_is_missing(plan: StudyPlan, record: StudyRecord) -> bool:
    evaluated = any(trial.arm is None for trial in _current_on_test(plan, record))
    return not evaluated and bool(trials_for_test(record))


def _missing_adapters(plan: StudyPlan, record: StudyRecord) -> list[CompletedTrial]:
    evaluated = [(trial.arm, trial.seed) for trial in _current_on_test(plan, record)]
    return [trial for trial in trials_for_test(record) if (trial.arm, trial.seed) not in evaluated]


def _current_on_test(plan: StudyPlan, record: StudyRecord) -> list[TrialRecord]:
    """The complete trials on test that were evaluated as the plan asks for."""
    final = record.certification.final if record.certification else ()
    return [trial for trial in final if trial.is_complete and is_current(trial.result, plan.setup)]


def _is_in_report(record: StudyRecord, trial: TrialRecord, paths: Paths) -> bool:
    folder = paths.adapter(record.name)
    weights = list(folder.glob("*.safetensors"))
    if not weights or any(size_problem(file) for file in weights):
        return False
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return bool(origin["trial"] == trial.spec.identity)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # written by an earlier version, which did not store the trial
