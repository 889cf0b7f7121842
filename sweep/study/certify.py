"""The certify stage: each rank's rate is tuned on tune, then ladder times seeds are trained and scored on certify."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from statistics import median

from sweep.errors import NoProgress
from sweep.records import (
    Arm,
    Certification,
    CompletedTrial,
    Split,
    Stage,
    Status,
    StudyPlan,
    StudyRecord,
    TrialRecord,
    TrialSpec,
)
from sweep.search.certified import CertifiedTrials
from sweep.search.explorer import Explorer
from sweep.store.identity import is_current
from sweep.study.invocation import Invocation
from sweep.study.next_step import Finish, FixRates, ScoreBase, Step, TakeLook, TrainLadder, TuneRates, next_step
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen


def certify(call: Invocation, explorer: Explorer, certified: CertifiedTrials) -> bool:
    """Goes from step to step until the bracket is closed, the seeds are used up or the budget is spent.

    Answers whether it came to its end within the budget.

    Raises:
        NoTrialSucceeded: the base could not be scored.
        NoProgress: a step added nothing to the record, so the next one would be the same.
        Interrupted: a person or the system asked to stop; all that is finished is kept.
    """
    step: Step | None = None
    facts = 0
    while True:
        call.session.stop.check()
        record = explorer.record()
        if step is not None and _facts(record) <= facts:
            raise NoProgress(
                f"the certify stage stands still: it waits for {_in_words(step)}, and nothing of that came; what is "
                f"finished is kept, and what the workers printed is in {call.paths.log(call.plan.name)}"
            )
        facts, step = _facts(record), next_step(call.plan, record)
        match step:
            case ScoreBase():
                call.score_base(Split.CERTIFY, lambda trial: call.remember(certified, trial))
            case FixRates(choices):
                certified.set_rates(choices)
                judged = ", ".join(f"r{choice.rank} {choice.learning_rate:.1e}" for choice in choices)
                call.display.note(f"learning rates to be judged with: {judged}")
            case TakeLook(seeds):
                certified.rest_on(call.plan.setup.scoring.certify_examples)
                certified.add_look(seeds)
            case TuneRates(pairs):
                recipe = _certification(record).recipe
                arms = [replace(recipe, rank=rank, learning_rate=rate) for rank, rate in pairs]
                done = len(_certification(record).tuning)
                call.display.planned(max(call.plan.rate_trials, done + len(arms)), done)
                rates = (call.spec(Stage.RATES, arm, call.plan.seed, answers=False) for arm in arms)
                if not _run(call, certified, rates, done, record, set()):
                    return False
            case TrainLadder(runs):
                done = len(_certification(record).trials)
                call.display.planned(done + len(runs), done)
                broken: set[int] = set()
                if not _run(call, certified, ladder_specs(call, runs, broken), done, record, broken):
                    return False
            case Finish(reason):
                certified.stop(reason)
                return True


def _facts(record: StudyRecord) -> int:
    """How much the certification knows: every step of the stage adds something, and none takes anything away."""
    known = _certification(record)
    return (known.base is not None) + sum(map(len, (known.rates, known.tuning, known.trials, known.looks)))


def _in_words(step: Step) -> str:
    """What a step waits for."""
    match step:
        case ScoreBase():
            return "the unadapted base's score on certify"
        case TuneRates(pairs):
            return "trials that tune learning rates: " + _some(f"r{rank} with {rate:g}" for rank, rate in pairs)
        case FixRates(choices):
            return "learning rates to be fixed: " + _some(f"r{choice.rank}" for choice in choices)
        case TrainLadder(runs):
            return "certify trials: " + _some(f"r{arm.rank} with seed {seed}" for arm, seed in runs)
        case TakeLook(seeds):
            return f"the verdict with {seeds} seeds"
        case Finish():
            return "its end"


def _some(words: Iterable[str], most: int = 5) -> str:
    listed = list(words)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def score_test(call: Invocation, explorer: Explorer, certified: CertifiedTrials) -> None:
    """The final stage: base, chosen and largest rank on test, once; nothing is chosen by it."""
    specs = unscored_on_test(call, explorer.record())
    if any(spec.arm is None for spec in specs):
        call.begin_base(Split.TEST, lambda trial: call.remember(certified, trial))
    adapters = [spec for spec in specs if spec.arm is not None]
    call.run(adapters, lambda trial: call.remember(certified, trial), 1, 0.0)
    left = unscored_on_test(call, explorer.record())
    if left:
        names = ", ".join(spec.name for spec in left)
        call.display.note(f"not scored on test: {names}; the same command tries again")


def unscored_on_test(call: Invocation, record: StudyRecord) -> list[TrialSpec]:
    """What is still to be scored on test: the base (first), and adapters. An adapter that is gone is trained again."""
    base = _base_unscored(call.plan, record)
    specs = [call.spec(Stage.BASE, None, call.plan.seed, split=Split.TEST)] if base else []
    for trial in _adapters_unscored(call.plan, record):
        spec = call.spec(Stage.FINAL, trial.arm, trial.seed, split=Split.TEST, adapter_of=trial.identity)
        call.session.store.adapters.adopt(spec.adapter, trial.result)
        specs.append(spec)
    return specs


def test_is_scored(plan: StudyPlan, record: StudyRecord) -> bool:
    """Whether base, chosen and largest rank have been scored on test, as far as there are any."""
    return not _base_unscored(plan, record) and not _adapters_unscored(plan, record)


def _base_unscored(plan: StudyPlan, record: StudyRecord) -> bool:
    scored = any(trial.arm is None for trial in _scored_on_test(plan, record))
    return not scored and bool(adapters_for_test(record))


def _adapters_unscored(plan: StudyPlan, record: StudyRecord) -> list[CompletedTrial]:
    scored = [(trial.arm, trial.seed) for trial in _scored_on_test(plan, record)]
    wanted = adapters_for_test(record)
    return [trial for trial in wanted if (trial.arm, trial.seed) not in scored]


def _scored_on_test(plan: StudyPlan, record: StudyRecord) -> list[TrialRecord]:
    """What was scored on test to its end, and as the plan asks for."""
    return [
        trial for trial in _certification(record).final if trial.is_complete and is_current(trial.result, plan.setup)
    ]


def adapters_for_test(record: StudyRecord) -> list[CompletedTrial]:
    """The adapter that is handed out, and the best of the ladder's largest rank (once, if they are the same)."""
    certification = record.certification
    conclusion = conclude(record)
    if certification is None or conclusion is None:
        return []
    handed_out = chosen(record, conclusion)
    ranks = certification.complete_ranks()
    if handed_out is None or not ranks:
        return []
    largest = min(certification.complete(ranks[-1]), key=lambda trial: trial.loss)
    own = [trial for trial in certification.complete(handed_out.rank) if trial.identity == handed_out.identity]
    return own if largest in own else [*own, largest]


def _run(
    call: Invocation,
    certified: CertifiedTrials,
    specs: Iterable[TrialSpec],
    done: int,
    record: StudyRecord,
    broken: set[int],
) -> bool:
    """Runs trials and remembers them; ranks of which one ends without a result are added to `broken`.

    Answers whether all fitted into the budget.
    """
    expected = expected_seconds(record)

    def finished(trial: TrialRecord) -> None:
        call.remember(certified, trial)
        status = trial.status
        call.trained += status is not Status.INTERRUPTED
        if status not in (Status.COMPLETE, Status.INTERRUPTED):
            broken.add(trial.rank)

    if call.run(specs, finished, done + 1, expected):
        return True
    reason = call.budget_spent(expected)
    certified.stop(reason)
    call.display.note(f"{reason}; the same command goes on from here")
    return False


def expected_seconds(record: StudyRecord) -> float:
    """Seconds of a trial of the ladder, going by the median of those so far, or of the explored ones."""
    certification = record.certification
    ladder = [trial for trial in certification.trials if trial.is_complete] if certification else []
    took = [trial.seconds for trial in ladder or record.complete()]
    return median(took) if took else 0.0


def ladder_specs(call: Invocation, runs: Iterable[tuple[Arm, int]], broken: Set[int]) -> Iterator[TrialSpec]:
    """The ladder's trials; of a rank that has broken by the time its turn comes, none."""
    for arm, seed in runs:
        if arm.rank not in broken:
            yield call.spec(Stage.CERTIFY, arm, seed, split=Split.CERTIFY)


def _certification(record: StudyRecord) -> Certification:
    assert record.certification is not None
    return record.certification
