"""Work of the certify stage that does not depend on the search: the unadapted base on certify, on a worker that would be idle."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from sweep.records import Split, TrialRecord, TrialSpec
from sweep.search.study import SearchStudy
from sweep.study.examples import with_certify_examples
from sweep.study.study_run import StudyRun


def base_ahead(run: StudyRun, study: SearchStudy, running: Collection[object]) -> Iterator[TrialSpec | None]:
    """The base on certify, once a worker is idle while the last trials of the search run; None until then.

    Nothing if the study is not certified, has the base already, or may not spend the time.

    Args:
        running: the trials of the search that have not ended; the caller removes them as they end.
    """
    if not run.plan.certify or _has_base(study):
        return
    # without a complete trial there may be nothing to certify
    while running and not (run.has_idle_worker and study.record().complete()):
        yield None
    record = study.record()
    if running and record.base is not None and run.over_budget(record.base.seconds) is None:
        plan = with_certify_examples(run.plan, record, run.loaded)
        yield replace(run, plan=plan).base_spec(Split.CERTIFY)


def base_from_ahead(run: StudyRun, study: SearchStudy) -> TrialRecord | None:
    """The base on certify that `base_ahead` had evaluated; None unless it is what the certify stage asks for and still stored."""
    trial, spec = study.base_on_certify, run.base_spec(Split.CERTIFY)
    if trial is None or trial.identity != spec.identity or run.session.store.find(spec.identity) is None:
        return None
    return trial


def _has_base(study: SearchStudy) -> bool:
    certification = study.record().certification
    return study.base_on_certify is not None or (certification is not None and certification.base is not None)
