"""The next step of the certify stage: a pure function of the record, so that any run continues where another ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sweep.methods import scale_growth
from sweep.records import (
    Arm,
    Certification,
    RateChoice,
    Status,
    StudyPlan,
    StudyRecord,
    TrialRecord,
    arm_at,
)
from sweep.study.arm_rates import arm_choices, next_arm_rates
from sweep.study.examples import more_examples
from sweep.study.rate_points import rate_points, rates_tried, trials_on_tune
from sweep.study.rates import RateModel, at_edge, next_rates, tidy
from sweep.verdict import Verdict, active_ranks
from sweep.verdict.conclude import conclude
from sweep.verdict.terms import terms_of

LOOKS = (3, 5, 8, 12, 18, 27, 40)
"""Numbers of seeds at which the verdict is computed, fixed in advance; a run's last one is `certify.seeds`."""


@dataclass(frozen=True, slots=True)
class EvaluateBase:
    """Evaluate the unadapted base on certify."""


@dataclass(frozen=True, slots=True)
class TuneRates:
    """Train these (rank, learning rate) pairs and evaluate them on tune."""

    pairs: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class FixRates:
    """Fix the learning rates of ranks; includes those fixed before."""

    choices: tuple[RateChoice, ...]


@dataclass(frozen=True, slots=True)
class TrainLadder:
    """Train these (arm, seed) pairs, or cut them from trained ones, and evaluate them on certify; what is cut comes last."""

    arms: tuple[tuple[Arm, int], ...]


@dataclass(frozen=True, slots=True)
class TrainConfirmation:
    """Train these (arm, seed) pairs of a rank that is certified as cut, and evaluate them on certify."""

    arms: tuple[tuple[Arm, int], ...]


@dataclass(frozen=True, slots=True)
class TakeLook:
    """Compute the verdict with this number of seeds per rank, and store that it was computed."""

    seeds: int


@dataclass(frozen=True, slots=True)
class AddExamples:
    """Evaluate the trials of the ladder on this number of certify examples, and take the last look again."""

    examples: int


@dataclass(frozen=True, slots=True)
class Finish:
    """End the stage.

    Attributes:
        reason: why the bracket is still open, in words; None if it is closed.
    """

    reason: str | None


Step = EvaluateBase | TuneRates | FixRates | TrainLadder | TakeLook | AddExamples | TrainConfirmation | Finish


def next_step(plan: StudyPlan, record: StudyRecord) -> Step:
    """The next step of a certification that has begun."""
    certification = begun_certification(record)
    if certification.base is None:
        return EvaluateBase()
    top = certification.declared.cut_from
    trained = ladder_of(plan, certification) if top is None else (top,)
    untuned = [rank for rank in trained if certification.rate_of(rank) is None]
    if untuned:
        return _tuning(plan, record, certification, untuned)
    step = _ladder(plan, record, certification)
    if isinstance(step, Finish) and plan.declaration.confirm and top is not None:
        return _confirmation(plan, record, certification) or step
    return step


def begun_certification(record: StudyRecord) -> Certification:
    """The record's certification.

    Raises:
        ValueError: the certify stage has not begun.
    """
    if record.certification is None:
        raise ValueError(f"the certify stage of study '{record.name}' has not begun")
    return record.certification


def ladder_of(plan: StudyPlan, certification: Certification) -> tuple[int, ...]:
    """The ladder, which a later run may extend; the order of a ladder of arms is the one declared first."""
    return certification.declared.ladder if certification.declared.arms else plan.declaration.ladder


def planned_looks(seeds: int, first: int = LOOKS[0]) -> tuple[int, ...]:
    """The looks of a study with at most `seeds` seeds per rank, the first of them at `first` seeds."""
    return tuple(sorted({min(first, seeds), *(look for look in LOOKS if first < look < seeds), seeds}))


def _tuning(plan: StudyPlan, record: StudyRecord, certification: Certification, untuned: Sequence[int]) -> Step:
    """Tunes rates for the whole ladder first; ranks that a later run adds to the ladder get one trial each.

    Of a cut ladder only the largest rank is trained, so all trials are its own; likewise the rank that confirms it.

    Every proposed trial is one that the record does not have, whatever its status, so tuning ends: if nothing is left to try, rates
    are fixed with the trials so far.
    """
    if certification.declared.arms:
        wanted = next_arm_rates(plan, record, certification)
        return TuneRates(wanted) if wanted else FixRates(arm_choices(record, certification))
    lowest, highest = plan.space.learning_rate
    usual = plan.arm.learning_rate
    growth = scale_growth(certification.recipe)
    points = list(rate_points(record, certification.recipe))
    ranks, left = plan.declaration.ladder, plan.rate_trials - len(certification.tuning)
    if certification.declared.cut_from is not None:
        ranks = tuple(untuned)
        left = plan.rate_trials - sum(trial.rank in untuned for trial in certification.tuning)
    elif certification.rates:
        ranks = tuple(rank for rank in untuned if not _tried(certification, rank))
        left = len(ranks)
    if left > 0:
        ended = trials_on_tune(record, certification.recipe)
        # the memory of a trial does not depend on its rate
        infeasible = {trial.rank for trial in ended if trial.status is Status.INFEASIBLE}
        fitting = [rank for rank in ranks if rank not in infeasible]
        # the second half of the trials uses the results of the first, unless that leaves a worker idle
        at_once = min(left, plan.parallel, max(plan.workers, plan.rate_trials // 2))
        known = [(arm.rank, arm.learning_rate) for trial in ended if (arm := trial.arm) is not None]
        pairs = next_rates(points, fitting, usual, lowest, highest, at_once, growth, known)
        if pairs:
            return TuneRates(tuple(pairs))
    model = RateModel(points, usual, lowest, highest, growth)
    choices = []
    for rank in untuned:
        best = model.best(rank)
        tried = rates_tried(record, certification.recipe, rank)
        choices.append(RateChoice(rank, tidy(best.rate), tried, at_edge(model, best)))
    return FixRates((*certification.rates, *choices))


def _ladder(plan: StudyPlan, record: StudyRecord, certification: Certification) -> Step:
    top = certification.declared.cut_from
    ladder = [rank for rank in ladder_of(plan, certification) if not _broken(certification, rank)]
    if top is not None and top not in ladder:
        return Finish(f"rank {top}, which the smaller ranks are cut from, has a trial without a result")
    looks = sorted({*certification.looks, *planned_looks(plan.declaration.seeds, plan.first_look)})
    looks = [look for look in looks if look in certification.looks or look > max(certification.looks, default=0)]
    earlier: tuple[int, ...] = ()
    for look in looks:
        needed = set(ladder)
        if earlier:
            verdict = _verdict(record, certification, earlier)
            needed &= set(active_ranks(verdict)) if verdict is not None else set()
            if not needed:
                return Finish(None)
            if verdict is not None and look not in certification.looks:
                if verdict.futile is not None:
                    return Finish(verdict.futile)
                if examples := more_examples(plan, record, verdict):
                    return AddExamples(examples)
        if top is not None:
            needed.add(top)
        missing = tuple(_missing(plan, certification, sorted(needed), look))
        if missing:
            return TrainLadder(missing)
        if look not in certification.looks:
            return TakeLook(look)
        earlier = (*earlier, look)
    verdict = _verdict(record, certification, earlier)
    if verdict is None or not active_ranks(verdict):
        return Finish(None)
    if examples := more_examples(plan, record, verdict):
        return AddExamples(examples)
    return Finish(
        f"the limit of {plan.declaration.seeds} seeds per {terms_of(ladder).one} is reached (certify.seeds={plan.declaration.seeds})"
    )


def _verdict(record: StudyRecord, certification: Certification, looks: tuple[int, ...]) -> Verdict | None:
    conclusion = conclude(replace(record, certification=replace(certification, looks=looks)))
    return conclusion.verdict if conclusion is not None else None


def _missing(
    plan: StudyPlan, certification: Certification, ranks: Sequence[int], look: int
) -> Iterator[tuple[Arm, int]]:
    """Seed by seed, so that an interrupted stage has the same seeds for all ranks. Tuning used none of these seeds.

    Of a cut ladder, first all trainings of the largest rank; then what is cut from them, the mildest cuts of a seed first.
    """
    top = certification.declared.cut_from
    ended, rung_of = _ended(certification, certification.trials), certification.declared.rung_of
    seeds = range(plan.seed + 1, plan.seed + look + 1)
    if top is None:
        wanted = [(trained_arm(certification, rank), seed) for seed in seeds for rank in ranks]
    else:
        parent = trained_arm(certification, top)
        cuts = [replace(parent, rank=rank, cut_from=top) for rank in sorted(ranks, reverse=True) if rank != top]
        wanted = [*((parent, seed) for seed in seeds), *((cut, seed) for seed in seeds for cut in cuts)]
    return ((arm, seed) for arm, seed in wanted if (rung_of(arm), seed) not in ended)


def trained_arm(certification: Certification, rank: int) -> Arm:
    """The recipe at a rank, with its tuned learning rate."""
    choice = certification.rate_of(rank)
    assert choice is not None, f"the rate of rank {rank} is not tuned"
    return arm_at(rank, certification.recipe, choice.learning_rate)


def _confirmation(plan: StudyPlan, record: StudyRecord, certification: Certification) -> Step | None:
    """Trains the certified rank from the start, with a rate of its own and the seeds that were cut; None if that is done."""
    conclusion = conclude(record)
    rank = conclusion.rank if conclusion is not None else None
    if rank is None or rank == certification.declared.cut_from:
        return None
    if certification.rate_of(rank) is None:
        return _tuning(plan, record, certification, [rank])
    arm, ended = trained_arm(certification, rank), _ended(certification, certification.confirmed)
    missing = tuple((arm, trial.seed) for trial in certification.complete(rank) if (rank, trial.seed) not in ended)
    return TrainConfirmation(missing) if missing else None


def _ended(certification: Certification, trials: Iterable[TrialRecord]) -> set[tuple[int, int]]:
    """Rank and seed of the trials that need not run again."""
    ended = (trial for trial in trials if trial.status is not Status.INTERRUPTED)
    return {(certification.rung_of(trial), trial.seed) for trial in ended}


def _broken(certification: Certification, rank: int) -> bool:
    """Whether a certify trial of the rank ended without a result."""
    return any(
        certification.rung_of(trial) == rank and trial.status not in (Status.COMPLETE, Status.INTERRUPTED)
        for trial in certification.trials
    )


def _tried(certification: Certification, rank: int) -> bool:
    return any(certification.rung_of(trial) == rank for trial in certification.tuning)
