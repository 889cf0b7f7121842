"""What was recorded under another metric, other answers or fewer examples is scored again, by the adapters that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sweep.records import Certification, Split, Stage, StudyPlan, StudyRecord, TrialRecord, TrialSpec
from sweep.search.certified import CertifiedTrials
from sweep.search.explorer import Explorer
from sweep.store.identity import is_current
from sweep.study.invocation import Invocation


def outdated_explored(plan: StudyPlan, record: StudyRecord) -> list[TrialRecord]:
    """Complete trials of the explore stage, the base first, that were not scored as the plan asks for."""
    base = [record.base] if record.base is not None else []
    return _outdated(plan, [*base, *record.trials])


def outdated_certified(plan: StudyPlan, certification: Certification) -> list[TrialRecord]:
    """Likewise on certify; trials that tuned rates are compared by their losses on tune alone, which stay as they are."""
    base = [certification.base] if certification.base is not None else []
    return _outdated(plan, [*base, *certification.trials])


def with_examples_kept(plan: StudyPlan, record: StudyRecord) -> StudyPlan:
    """The plan with as many certify examples as the verdict rests on already: what was looked at cannot be taken back."""
    certification, scoring = record.certification, plan.setup.scoring
    if certification is None or not certification.looks:
        return plan
    known = certification.examples or len(certification.tokens)
    if known <= scoring.certify_examples:
        return plan
    return replace(plan, setup=replace(plan.setup, scoring=replace(scoring, certify_examples=known)))


def rescore_explored(call: Invocation, explorer: Explorer) -> bool:
    """Scores again what `outdated_explored` names; returns whether that is done."""

    def keep(earlier: TrialRecord, record: TrialRecord) -> None:
        again = TrialRecord(earlier.number, record.result, record.run_id)
        if earlier.spec.stage is Stage.BASE:
            explorer.remember_base(again)
        else:
            explorer.remember_rescored(again)

    return _rescore(call, lambda: outdated_explored(call.plan, explorer.record()), keep)


def rescore_certified(call: Invocation, explorer: Explorer, certified: CertifiedTrials) -> bool:
    """Scores again what `outdated_certified` names; returns whether that is done.

    Until it is, the stage must not go on: a look on some of the trials' examples would be none that was planned.
    """
    certification = explorer.record().certification
    if certification is None:
        return True
    asked = call.plan.setup.scoring.certify_examples
    if certification.looks and outdated_certified(call.plan, certification):
        there = examples_of_all(certification)
        if there < min(asked, call.loaded.examples[Split.CERTIFY.value]):
            certified.extend(max(certification.looks), there)

    def outdated() -> list[TrialRecord]:
        known = explorer.record().certification
        return outdated_certified(call.plan, known) if known is not None else []

    def keep(earlier: TrialRecord, record: TrialRecord) -> None:
        call.remember(certified, TrialRecord(earlier.number, record.result, record.run_id))

    done = _rescore(call, outdated, keep)
    if done and certification.looks:
        certified.rest_on(asked)
    return done


def examples_of_all(certification: Certification) -> int:
    """How many certify examples every complete trial was scored on: those that the verdict is computed on."""
    base = [certification.base] if certification.base is not None else []
    complete = [*base, *(trial for trial in certification.trials if trial.is_complete)]
    return min([len(certification.tokens), *(len(trial.nats) for trial in complete)])


def _outdated(plan: StudyPlan, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.is_complete and not is_current(trial.result, plan.setup)]


def _rescore(
    call: Invocation, outdated: Callable[[], list[TrialRecord]], keep: Callable[[TrialRecord, TrialRecord], None]
) -> bool:
    """Scores each once; returns whether none is left. One that fails stays as it was recorded, for another call."""
    trials = outdated()
    if not trials:
        return True
    call.display.note(
        f"{len(trials)} finished trial(s) are scored again, since task.metric or evaluate.* has changed; adapters that are there "
        "are not trained again"
    )
    earlier: dict[str, list[TrialRecord]] = {}
    specs: dict[str, TrialSpec] = {}
    for trial in trials:
        call.session.stop.check()
        spec = call.spec_of(trial.result)
        earlier.setdefault(spec.identity, []).append(trial)
        specs[spec.identity] = spec

    def ended(record: TrialRecord) -> None:
        if record.is_complete:
            for trial in earlier[record.spec.identity]:
                keep(trial, record)

    for spec in specs.values():
        if spec.arm is None:
            call.score_base(spec.split, ended)
    adapters = [spec for spec in specs.values() if spec.arm is not None]
    call.display.planned(len(adapters), 0)
    if not call.run(adapters, ended, 1, 0.0):
        call.display.note(f"{call.budget_spent(0.0)}; the same command goes on from here")
        return False
    left = outdated()
    if left:
        names = ", ".join(trial.spec.name for trial in left[:5])
        call.display.note(f"{len(left)} trial(s) could not be scored again ({names}); the same command tries again")
    return not left
