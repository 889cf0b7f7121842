"""The certify stage: tunes learning rates on tune, then trains ladder times seeds and evaluates them on certify.

Of a cut ladder only the largest rank is trained; its adapters are cut to the smaller ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from functools import partial
from statistics import median

from sweep.errors import NoProgress
from sweep.methods import LORA_VARIANTS, arm_words, on_own_base
from sweep.records import (
    Arm,
    Rung,
    Split,
    Stage,
    Status,
    StudyRecord,
    TrialRecord,
    TrialSpec,
    arm_at,
    rung_words,
)
from sweep.search.certification import StoredCertification
from sweep.search.study import SearchStudy
from sweep.study.ahead import base_from_ahead
from sweep.study.examples import with_examples
from sweep.study.next_step import (
    AddExamples,
    EvaluateBase,
    Finish,
    FixRates,
    Step,
    TakeLook,
    TrainConfirmation,
    TrainLadder,
    TuneRates,
    begun_certification,
    next_step,
)
from sweep.study.rescoring import rescore_certified
from sweep.study.study_run import BudgetSpent, StudyRun


def certify(run: StudyRun, study: SearchStudy, stored: StoredCertification) -> None:
    """Takes step after step until the bracket is closed or all seeds are trained.

    Raises:
        BudgetSpent: steps are left for a later run.
        NoTrialSucceeded: the base could not be evaluated.
        NoProgress: a step added nothing to the record, so the next one would be the same.
        Interrupted: the sweep was asked to stop; all finished trials are kept.
    """
    step: Step | None = None
    facts = 0
    while True:
        run.session.stop.check()
        record = study.record()
        if step is not None and _count_facts(record) <= facts:
            raise NoProgress(
                f"the certify stage makes no progress: it waits for {_in_words(step)}, but its last step added nothing; "
                f"finished trials are kept, and the output of the workers is in {run.log}"
            )
        facts, step = _count_facts(record), next_step(run.plan, record)
        match step:
            case EvaluateBase():
                ahead = base_from_ahead(run, study)
                if ahead is not None:
                    run.save(stored, ahead)
                else:
                    run.run_all([run.base_spec(Split.CERTIFY)], tell=partial(run.save, stored))
            case TuneRates(pairs):
                _tune_rates(run, stored, record, pairs)
            case FixRates(choices):
                stored.set_rates(choices)
                rates = ", ".join(f"{_short(choice.rank)} {choice.learning_rate:.1e}" for choice in choices)
                run.display.note(f"tuned learning rates: {rates}")
            case TrainLadder(arms):
                _train_ladder(run, stored, record, arms)
            case AddExamples(examples):
                stored.plan_examples(examples)
                run.plan = with_examples(run.plan, examples)
                rescore_certified(run, study, stored, f"{examples} certify examples may decide what is open")
            case TrainConfirmation(arms):
                _train_confirmation(run, stored, record, arms)
            case TakeLook(seeds):
                stored.raise_examples(run.certify_examples)
                stored.add_look(seeds)
            case Finish(reason):
                stored.set_stopped(reason)
                return


def to_try_again(record: StudyRecord) -> list[TrialRecord]:
    """The trials of the ladder and its confirmation that failed for another reason than their loss.

    What did not fit into memory would not fit again, and a trial that tuned rates is replaced by one at another rate.
    """
    known = record.certification
    trials = (*known.trials, *known.confirmed) if known is not None else ()
    return [trial for trial in trials if trial.status is Status.FAILED and not trial.has_diverged]


def try_failed_again(run: StudyRun, study: SearchStudy, stored: StoredCertification) -> None:
    """Makes what failed in earlier runs unfinished, so that this run tries it once more; what fails again waits for the next run."""
    failed = to_try_again(study.record())
    for trial in failed:
        stored.add_trial(replace(trial, result=replace(trial.result, status=Status.INTERRUPTED)), ())
    if failed:
        which = _first_few(f"{trial.name} ({trial.reason})" for trial in failed)
        several = (
            "trials that failed in an earlier run are" if len(failed) > 1 else "trial that failed in an earlier run is"
        )
        run.display.note(f"{len(failed)} {several} tried again: {which}")


def _tune_rates(
    run: StudyRun, stored: StoredCertification, record: StudyRecord, pairs: Iterable[tuple[int, float]]
) -> None:
    certification = begun_certification(record)
    arms = [arm_at(rank, certification.recipe, rate) for rank, rate in pairs]
    done = len(certification.tuning)
    # a rank that confirms a cut one is tuned after the ladder
    planned = run.plan.tuning_trials * (1 if not certification.trials else 2)
    run.display.planned(max(planned, done + len(arms)), done)
    specs = (run.spec(Stage.RATES, arm, run.plan.seed, answers=False) for arm in arms)
    _train(run, stored, record, specs, done, set())


def _train_ladder(
    run: StudyRun, stored: StoredCertification, record: StudyRecord, arms: tuple[tuple[Arm, int], ...]
) -> None:
    certification = begun_certification(record)
    done = len(certification.trials)
    cuts, cuts_done = sum(arm.cut_from is not None for arm, _ in arms), sum(map(_is_cut, certification.trials))
    planned = done + len(arms) - cuts - cuts_done
    run.display.planned(planned, done - cuts_done, cuts + cuts_done, cuts_done)
    broken: set[int] = set()
    rung_of = certification.declared.rung_of
    trained = {(rung_of(trial.arm), trial.seed) for trial in certification.trials if trial.is_complete}
    _train(run, stored, record, ladder_specs(run, arms, broken, trained, rung_of), done, broken, trained)


def _train_confirmation(
    run: StudyRun, stored: StoredCertification, record: StudyRecord, arms: tuple[tuple[Arm, int], ...]
) -> None:
    rank = arms[0][0].rank
    done = sum(trial.rank == rank for trial in begun_certification(record).confirmed)
    run.display.planned(done + len(arms), done)
    specs = (run.spec(Stage.CONFIRM, arm, seed, split=Split.CERTIFY) for arm, seed in arms)
    _train(run, stored, record, specs, done)


def ladder_specs(
    run: StudyRun,
    arms: Iterable[tuple[Arm, int]],
    broken: Set[int],
    trained: Set[tuple[int, int]],
    rung_of: Callable[[Arm], int] = lambda arm: arm.rank,
) -> Iterator[TrialSpec | None]:
    """The specs of (arm, seed) pairs in their order; None while every pair that is left waits for a training or for another worker.

    Args:
        broken: ranks that are skipped, with all that would be cut from them, when their turn comes.
        trained: (rank, seed) of the complete trials; a pair that is cut waits for that of its parent.
        rung_of: the step of the ladder that an arm is at.
    """
    waiting = list(arms)
    while waiting := [pair for pair in waiting if not {rung_of(pair[0]), rung_of(pair[0].parent)} & broken]:
        ready = [pair for pair in waiting if pair[0].cut_from is None or (pair[0].cut_from, pair[1]) in trained]
        # trainings come first, so that all that is ready is cut if the first one is
        if not ready or (ready[0][0].cut_from is not None and not run.spreads(len(ready))):
            yield None
            continue
        waiting.remove(ready[0])
        arm, seed = ready[0]
        yield run.spec(Stage.CERTIFY, arm, seed, split=Split.CERTIFY)


def _train(
    run: StudyRun,
    stored: StoredCertification,
    record: StudyRecord,
    specs: Iterable[TrialSpec | None],
    done: int,
    broken: set[int] | None = None,
    trained: set[tuple[int, int]] | None = None,
) -> None:
    """Runs trials and stores them; adds ranks with a trial without a result to `broken`, and complete trials to `trained`.

    Raises:
        BudgetSpent: trials are left.
    """
    try:
        for trial in run.run_trials(
            specs, tell=partial(run.save, stored), first=done + 1, expected=expected_seconds(record)
        ):
            if trial.status is Status.INTERRUPTED:
                continue
            run.trained += trial.arm is not None and trial.arm.cut_from is None
            rung = begun_certification(record).rung_of(trial)
            if trial.is_complete and trained is not None:
                trained.add((rung, trial.seed))
            elif not trial.is_complete and broken is not None:
                broken.add(rung)
    except BudgetSpent as spent:
        stored.set_stopped(spent.reason)
        raise


def expected_seconds(record: StudyRecord) -> Callable[[TrialSpec], float]:
    """The expected duration of a trial: the median of the ladder's so far, or of the explored ones; a cut's is that of cuts."""
    certification = record.certification
    ladder = [trial.completed() for trial in certification.trials if trial.is_complete] if certification else []
    cuts = [trial.seconds for trial in ladder if trial.arm.cut_from is not None]
    trained = [trial.seconds for trial in ladder if trial.arm.cut_from is None]
    earlier = [*record.complete(), *(certification.tuning if certification and certification.declared.arms else ())]
    training = median(trained or [trial.seconds for trial in earlier] or [0.0])
    cutting = median(cuts or [0.0])
    return lambda spec: training if spec.arm is None or spec.arm.cut_from is None else cutting


def _is_cut(trial: TrialRecord) -> bool:
    return trial.arm is not None and trial.arm.cut_from is not None


def _count_facts(record: StudyRecord) -> int:
    """How much the certification contains. Every step of the stage adds to it, and none removes anything."""
    known = begun_certification(record)
    ended = [
        trial for trial in (*known.tuning, *known.trials, *known.confirmed) if trial.status is not Status.INTERRUPTED
    ]
    return (known.base is not None) + sum(map(len, (known.rates, ended, known.looks, known.extended)))


def _in_words(step: Step) -> str:
    """What a step waits for."""
    match step:
        case EvaluateBase():
            return "the unadapted base's loss on certify"
        case TuneRates(pairs):
            return "trials that tune learning rates: " + _first_few(
                f"{_short(rank)} with {rate:g}" for rank, rate in pairs
            )
        case FixRates(choices):
            return "tuned learning rates: " + _first_few(_short(choice.rank) for choice in choices)
        case TrainLadder(arms):
            return "certify trials: " + _first_few(f"{_named(arm)} with seed {seed}" for arm, seed in arms)
        case TrainConfirmation(arms):
            return "trials that confirm the verdict: " + _first_few(
                f"r{arm.rank} with seed {seed}" for arm, seed in arms
            )
        case AddExamples(examples):
            return f"the ladder's losses on {examples} certify examples"
        case TakeLook(seeds):
            return f"the verdict with {seeds} seeds"
        case Finish():
            return "its end"


def _short(rank: int) -> str:
    """`r8`, or an arm's name."""
    return rung_words(rank) if isinstance(rank, Rung) else f"r{rank}"


def _named(arm: Arm) -> str:
    return f"r{arm.rank}{on_own_base(arm)}" if arm.method in LORA_VARIANTS else arm_words(arm)


def _first_few(words: Iterable[str], most: int = 5) -> str:
    listed = list(words)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
