"""The certify stage: tunes each rank's learning rate on tune, then trains ladder times seeds and evaluates them on certify."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from statistics import median

from sweep.errors import NoProgress
from sweep.records import Arm, Split, Stage, Status, StudyRecord, TrialSpec
from sweep.search.certification import StoredCertification
from sweep.search.study import SearchStudy
from sweep.study.next_step import (
    EvaluateBase,
    Finish,
    FixRates,
    Step,
    TakeLook,
    TrainLadder,
    TuneRates,
    begun_certification,
    next_step,
)
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
                for trial in run.run_trials([run.base_spec(Split.CERTIFY)]):
                    run.save(stored, trial)
            case TuneRates(pairs):
                _tune_rates(run, stored, record, pairs)
            case FixRates(choices):
                stored.set_rates(choices)
                rates = ", ".join(f"r{choice.rank} {choice.learning_rate:.1e}" for choice in choices)
                run.display.note(f"tuned learning rates: {rates}")
            case TrainLadder(arms):
                _train_ladder(run, stored, record, arms)
            case TakeLook(seeds):
                stored.raise_examples(run.plan.setup.scoring.certify_examples)
                stored.add_look(seeds)
            case Finish(reason):
                stored.set_stopped(reason)
                return


def _tune_rates(
    run: StudyRun, stored: StoredCertification, record: StudyRecord, pairs: Iterable[tuple[int, float]]
) -> None:
    certification = begun_certification(record)
    arms = [replace(certification.recipe, rank=rank, learning_rate=rate) for rank, rate in pairs]
    done = len(certification.tuning)
    run.display.planned(max(run.plan.rate_trials, done + len(arms)), done)
    specs = (run.spec(Stage.RATES, arm, run.plan.seed, answers=False) for arm in arms)
    _train(run, stored, record, specs, done, set())


def _train_ladder(
    run: StudyRun, stored: StoredCertification, record: StudyRecord, arms: tuple[tuple[Arm, int], ...]
) -> None:
    done = len(begun_certification(record).trials)
    run.display.planned(done + len(arms), done)
    broken: set[int] = set()
    _train(run, stored, record, ladder_specs(run, arms, broken), done, broken)


def ladder_specs(run: StudyRun, arms: Iterable[tuple[Arm, int]], broken: Set[int]) -> Iterator[TrialSpec]:
    """The specs of (arm, seed) pairs, skipping ranks that are broken when their turn comes."""
    for arm, seed in arms:
        if arm.rank not in broken:
            yield run.spec(Stage.CERTIFY, arm, seed, split=Split.CERTIFY)


def _train(
    run: StudyRun,
    stored: StoredCertification,
    record: StudyRecord,
    specs: Iterable[TrialSpec],
    done: int,
    broken: set[int],
) -> None:
    """Runs trials and stores them; adds ranks with a trial without a result to `broken`.

    Raises:
        BudgetSpent: trials are left.
    """
    try:
        for trial in run.run_trials(specs, first=done + 1, expected=expected_seconds(record)):
            run.save(stored, trial)
            if trial.status is Status.INTERRUPTED:
                continue
            run.trained += 1
            if not trial.is_complete:
                broken.add(trial.rank)
    except BudgetSpent as spent:
        stored.set_stopped(spent.reason)
        raise


def expected_seconds(record: StudyRecord) -> float:
    """The expected duration of a ladder trial: the median of those so far, or of the explored trials."""
    certification = record.certification
    ladder = [trial for trial in certification.trials if trial.is_complete] if certification else []
    seconds = [trial.seconds for trial in ladder or record.complete()]
    return median(seconds) if seconds else 0.0


def _count_facts(record: StudyRecord) -> int:
    """How much the certification contains. Every step of the stage adds to it, and none removes anything."""
    known = begun_certification(record)
    return (known.base is not None) + sum(map(len, (known.rates, known.tuning, known.trials, known.looks)))


def _in_words(step: Step) -> str:
    """What a step waits for."""
    match step:
        case EvaluateBase():
            return "the unadapted base's loss on certify"
        case TuneRates(pairs):
            return "trials that tune learning rates: " + _first_few(f"r{rank} with {rate:g}" for rank, rate in pairs)
        case FixRates(choices):
            return "tuned learning rates: " + _first_few(f"r{choice.rank}" for choice in choices)
        case TrainLadder(arms):
            return "certify trials: " + _first_few(f"r{arm.rank} with seed {seed}" for arm, seed in arms)
        case TakeLook(seeds):
            return f"the verdict with {seeds} seeds"
        case Finish():
            return "its end"


def _first_few(words: Iterable[str], most: int = 5) -> str:
    listed = list(words)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
