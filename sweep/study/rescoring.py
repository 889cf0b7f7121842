"""Evaluates recorded trials again after a change of metric, answers or number of examples; trains nothing that is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sweep.records import Certification, Split, Stage, StudyPlan, StudyRecord, TrialRecord
from sweep.search.certification import StoredCertification
from sweep.search.study import SearchStudy
from sweep.store.identity import is_current
from sweep.study.session import StudyPaused
from sweep.study.study_run import StudyRun


def outdated_explored(plan: StudyPlan, record: StudyRecord) -> list[TrialRecord]:
    """The complete trials of the explore stage, the base first, that were not evaluated as the plan asks for."""
    base = [record.base] if record.base is not None else []
    return _outdated(plan, [*base, *record.trials])


def outdated_certified(plan: StudyPlan, certification: Certification | None) -> list[TrialRecord]:
    """Likewise on certify. Trials that tuned rates never count: only their losses on tune matter, which do not change."""
    if certification is None:
        return []
    base = [certification.base] if certification.base is not None else []
    return _outdated(plan, [*base, *certification.trials, *certification.confirmed])


def rescore_explored(run: StudyRun, study: SearchStudy) -> None:
    """Evaluates the trials of `outdated_explored` again.

    Raises:
        StudyPaused: some are left for a later run.
    """

    def keep(trial: TrialRecord) -> None:
        if trial.spec.stage is Stage.BASE:
            study.set_base(trial)
        else:
            study.replace_trial(trial)

    rescore(run, lambda: outdated_explored(run.plan, study.record()), keep)


def rescore_certified(
    run: StudyRun,
    study: SearchStudy,
    stored: StoredCertification,
    why: str = "task.metric, evaluate.* or the way of cutting has changed",
) -> None:
    """Evaluates the trials of `outdated_certified` again.

    The stage must not go on before: a look on the examples of only some trials was never planned.

    Raises:
        StudyPaused: some are left for a later run.
    """
    certification = study.record().certification
    if certification is None:
        return
    asked = run.certify_examples
    if certification.looks and outdated_certified(run.plan, certification):
        examples = common_examples(certification)
        if examples < min(asked, run.loaded.examples[Split.CERTIFY.value]):
            stored.add_extension(max(certification.looks), examples)
    rescore(
        run,
        lambda: outdated_certified(run.plan, study.record().certification),
        lambda trial: run.save(stored, trial),
        why,
    )
    if certification.looks:
        stored.raise_examples(asked)


def common_examples(certification: Certification) -> int:
    """How many certify examples every complete trial was evaluated on; the verdict uses these."""
    base = [certification.base] if certification.base is not None else []
    complete = [*base, *(trial for trial in certification.trials if trial.is_complete)]
    return min([len(certification.tokens), *(len(trial.nats) for trial in complete)])


def rescore(
    run: StudyRun,
    outdated: Callable[[], list[TrialRecord]],
    keep: Callable[[TrialRecord], None],
    why: str = "task.metric, evaluate.* or the way of cutting has changed",
) -> None:
    """Evaluates each outdated trial once.

    Args:
        keep: stores a new record, with the number of the old one. A trial that fails keeps its old record.

    Raises:
        StudyPaused: some are left for a later run.
    """
    trials = outdated()
    if not trials:
        return
    run.display.note(
        f"{len(trials)} finished trial(s) are evaluated again, since {why}; stored adapters are not trained again"
    )
    known: dict[str, list[TrialRecord]] = {}  # two trials may have the same arm, and so one identity
    specs = {}
    for trial in trials:
        run.session.stop.check()
        spec = run.spec_again(trial.result)
        known.setdefault(spec.identity, []).append(trial)
        specs[spec.identity] = spec
    run.display.planned(sum(spec.arm is not None for spec in specs.values()), 0)

    def tell(evaluated: TrialRecord) -> None:
        if evaluated.is_complete:
            for trial in known[evaluated.identity]:
                keep(replace(evaluated, number=trial.number))

    run.run_all(run.evenly(list(specs.values())), tell=tell)
    left = outdated()
    if left:
        names = ", ".join(trial.name for trial in left[:5])
        raise StudyPaused(f"{len(left)} trial(s) could not be evaluated again ({names}); the same command tries again")


def _outdated(plan: StudyPlan, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.is_complete and not is_current(trial.result, plan.setup)]
