"""What a study has left to do, how long that takes and how much disk its adapters need, from its plan and measured trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from sweep.config.units import show_bytes, show_seconds
from sweep.records import Certification, Measures, Stage, StudyPlan, StudyRecord, TrialResult
from sweep.records.evaluation import FEWEST_CHOSEN
from sweep.reports.ladder_kind import is_cut
from sweep.verdict.record import LadderBy
from sweep.verdict.terms import terms_of

TRAINING_STAGES = (Stage.EXPLORE, Stage.RATES, Stage.CERTIFY, Stage.CONFIRM)
"""In their order; `certify` also has the trials of a cut ladder whose adapters are cut instead of trained."""


@dataclass(frozen=True, slots=True)
class Span:
    """A number that is known only within limits: the verdict may need fewer seeds than it is allowed."""

    least: float
    most: float

    def __add__(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)

    def capped(self, limit: float) -> Span:
        """At most `limit`."""
        return Span(min(self.least, limit), min(self.most, limit))

    def at_most(self) -> Span:
        """Its upper limit alone."""
        return Span(self.most, self.most)

    def seconds(self) -> str:
        """For people: `about 12 min`, `about 12 min to 20 min`, or `at most 20 min`; one value where the limits are close."""
        least, most = _rough(self.least), _rough(self.most)
        if self.least < 0.1 * self.most:
            return f"at most {most}"
        return f"about {most}" if self.most <= 1.2 * self.least or least == most else f"about {least} to {most}"

    def count(self) -> str:
        """For people, such as `15` or `15 to 25`."""
        return f"{self.most:.0f}" if self.least == self.most else f"{self.least:.0f} to {self.most:.0f}"


def _rough(seconds: float) -> str:
    """No finer than an estimate deserves: whole minutes from two minutes on."""
    return show_seconds(seconds) if seconds < 100 else show_seconds(60 * round(seconds / 60)).removesuffix(" 0 s")


def trials_left(plan: StudyPlan, record: StudyRecord | None) -> Mapping[Stage, Span]:
    """The trials that each stage has left to train; adapters that are cut from trained ones are in `cuts_left`.

    The number of trials that tune learning rates is the planned one; a best rate at the edge of its range adds some.
    """
    explored = len(record.trials) if record else 0
    explore = max(0, plan.search.trials - explored)
    if not plan.certify:
        return {Stage.EXPLORE: Span(explore, explore)}
    known = _certification(plan, record)
    rates = 0 if known and known.rates else max(0, plan.tuning_trials - (len(known.tuning) if known else 0))
    done = sum(not is_cut(trial.spec) for trial in known.trials) if known else 0
    left = {
        Stage.EXPLORE: Span(explore, explore),
        Stage.RATES: Span(rates, rates),
        Stage.CERTIFY: left_over_seeds(plan, trained_ranks(plan), done),
    }
    if by_cutting(plan) and plan.declaration.confirm:
        left[Stage.CONFIRM] = Span(0, _to_confirm(plan, known))
    return left


def _to_confirm(plan: StudyPlan, known: Certification | None) -> int:
    """Most trials that are left to tune a rate for the chosen rank and to train it; none if no cut rank is certified."""
    top = max(plan.declaration.ladder)
    done = len(known.confirmed) + sum(trial.rank != top for trial in known.tuning) if known else 0
    return max(0, plan.declaration.seeds + plan.rate_trials - done)


def cuts_left(plan: StudyPlan, record: StudyRecord | None) -> Span:
    """The adapters that are left to be cut from trained ones and evaluated."""
    if not plan.certify or not by_cutting(plan):
        return Span(0, 0)
    known = _certification(plan, record)
    done = sum(is_cut(trial.spec) for trial in known.trials) if known else 0
    return left_over_seeds(plan, smaller_ranks(plan), done)


def by_cutting(plan: StudyPlan) -> bool:
    """Whether the ladder's smaller ranks are cut from the adapters of the largest."""
    return plan.declaration.ladder_by == LadderBy.CUT


def trained_ranks(plan: StudyPlan) -> int:
    """Number of ranks of the ladder that are trained."""
    return len(plan.declaration.ladder) - smaller_ranks(plan)


def smaller_ranks(plan: StudyPlan) -> int:
    """Number of ranks to which each trained adapter is cut."""
    return len(plan.declaration.ladder) - 1 if by_cutting(plan) else 0


def _certification(plan: StudyPlan, record: StudyRecord | None) -> Certification | None:
    """What is known of the ladder; nothing if what is recorded is a ladder of the other kind."""
    known = record.certification if record else None
    if known is None or known.declared.ladder_by != plan.declaration.ladder_by:
        return None
    return known if {arm.arm for arm in known.declared.arms} == {arm.arm for arm in plan.declaration.arms} else None


def left_over_seeds(plan: StudyPlan, each: int, done: int, waiting: int = 0) -> Span:
    """Trials that are left: fewest if the first look decides, most if all seeds are needed.

    Args:
        each: trials per seed.
        done: trials that have ended or begun.
        waiting: trials that will run in any case.
    """
    seeds = plan.declaration.seeds
    least = max(waiting, each * min(plan.first_look, seeds) - done)
    return Span(least, max(least, each * seeds - done))


def measured(record: StudyRecord | None) -> list[TrialResult]:
    """The complete trials of a record that trained an adapter, or cut it from a trained one."""
    if record is None:
        return []
    return [trial.result for trial in record.all_trials() if trial.is_complete and trial.spec.stage in TRAINING_STAGES]


def trial_seconds(plan: StudyPlan, results: Iterable[TrialResult], stage: Stage) -> float | None:
    """Mean seconds of a stage's training; from other stages' if it has none yet, None if nothing was measured.

    Certify trials evaluate another number of examples than explored ones, which is taken into account.
    """
    by_stage = _trainings(results)
    on_certify = stage in (Stage.CERTIFY, Stage.CONFIRM)
    for alike in (stage, Stage.CERTIFY) if on_certify else (stage,):
        if own := by_stage.get(alike):
            return mean(result.seconds for result in own)
    ratio = _more_examples(plan) if on_certify else 1.0
    for other in (Stage.EXPLORE, Stage.RATES):
        if others := by_stage.get(other):
            return mean(_with_evaluation(result, ratio) for result in others)
    return None


def cut_seconds(plan: StudyPlan, results: Sequence[TrialResult]) -> float | None:
    """Mean seconds of cutting an adapter and evaluating it; before any was cut, of evaluating a trained one. None if unknown."""
    own = [result.seconds for result in results if is_cut(result.spec)]
    if own:
        return mean(own)
    by_stage = _trainings(results)
    for stage, ratio in (
        (Stage.CERTIFY, 1.0),
        (Stage.EXPLORE, _more_examples(plan)),
        (Stage.RATES, _more_examples(plan)),
    ):
        evaluations = [result.measures.eval_seconds for result in by_stage.get(stage, ()) if result.measures]
        if evaluations:
            return ratio * mean(evaluations)
    return None


def _trainings(results: Iterable[TrialResult]) -> Mapping[Stage, list[TrialResult]]:
    by_stage: dict[Stage, list[TrialResult]] = {}
    for result in results:
        if not is_cut(result.spec):
            by_stage.setdefault(result.spec.stage, []).append(result)
    return by_stage


def _more_examples(plan: StudyPlan) -> float:
    """How many times as many examples are evaluated on certify as on tune."""
    scoring = plan.setup.scoring
    return (scoring.certify_examples or FEWEST_CHOSEN) / max(1, scoring.examples)


def _with_evaluation(result: TrialResult, ratio: float) -> float:
    """The trial's seconds, had it evaluated `ratio` times as many examples."""
    evaluation = result.measures.eval_seconds if result.measures else 0.0
    return result.seconds + (ratio - 1) * min(evaluation, result.seconds)


def time_of(left: Span, seconds: float, parallel: int) -> Span:
    """Seconds that a number of trials takes, `parallel` of them side by side."""

    def lasts(trials: float) -> float:
        return seconds * max(1.0, trials / parallel) if trials > 0 else 0.0

    return Span(lasts(left.least), lasts(left.most))


def time_left(plan: StudyPlan, record: StudyRecord | None) -> Span | None:
    """Seconds that the study's trials take from here on, within `budget.wall_clock`; None if no trial was measured."""
    results = measured(record)
    total = Span(0, 0)
    for stage, left in trials_left(plan, record).items():
        seconds = trial_seconds(plan, results, stage)
        if seconds is None:
            return None
        total += time_of(left, seconds, plan.parallel)
    cuts = cuts_left(plan, record)
    if cuts.most:
        total += time_of(cuts, cut_seconds(plan, results) or 0.0, plan.parallel)
    return total if plan.wall_clock is None else total.capped(plan.wall_clock)


def adapter_bytes_left(plan: StudyPlan, record: StudyRecord | None) -> Span | None:
    """Bytes of the adapters that are still to be trained or cut; None if no trial was measured.

    Of a ladder of arms, as large as the mean of those measured.

    An adapter's size is proportional to its rank. The target modules of trials that are still to be sampled are not known, so the
    mean over the measured trials is used. Where not every adapter has a rank, that mean is the size of those that are left.
    """
    known = [(result.spec.rank, result.measures) for result in measured(record) if result.measures]
    if not known:
        return None
    if plan.declaration.arms:
        each = mean(measures.adapter_bytes for _, measures in known)
        spans = [Span(each * left.least, each * left.most) for left in trials_left(plan, record).values()]
        return sum(spans, start=Span(0, 0))
    if plan.methods or not plan.space.ranks:
        left = trials_left(plan, record)[Stage.EXPLORE]
        each = mean(measures.adapter_bytes for _, measures in known)
        return Span(each * left.least, each * left.most)
    per_rank = mean(_bytes_per_rank(rank, measures) for rank, measures in known)
    searched, (judged, smaller) = mean(plan.space.ranks), _mean_ranks(plan)
    total = Span(0, 0)
    for stage, left in trials_left(plan, record).items():
        size = per_rank * (searched if stage is Stage.EXPLORE else judged)
        total += Span(size * left.least, size * left.most)
    cuts = cuts_left(plan, record)
    return total + Span(per_rank * smaller * cuts.least, per_rank * smaller * cuts.most)


def _mean_ranks(plan: StudyPlan) -> tuple[float, float]:
    """Mean of the ladder's ranks that are trained, and of those that are cut."""
    ladder = sorted(plan.declaration.ladder) or [0]
    return (ladder[-1], mean(ladder[:-1] or [0])) if by_cutting(plan) else (mean(ladder), 0.0)


def _bytes_per_rank(rank: int, measures: Measures) -> float:
    return measures.adapter_bytes / rank


def plan_line(plan: StudyPlan, record: StudyRecord | None, expected: str | None = None) -> str:
    """The plan in one line: trials per stage, time, disk. Says what an estimate rests on, or that there is none yet.

    Args:
        expected: the time in words, as other studies let expect it; said until a trial of this one is measured.
    """
    return f"plan: {'; '.join([*(text for _, text in stage_lines(plan, record)), estimate(plan, record, expected)])}"


def stage_lines(plan: StudyPlan, record: StudyRecord | None) -> Iterator[tuple[str, str]]:
    """Each stage that has trials left: its name, and its trials in words."""
    left = trials_left(plan, record)
    explore = left[Stage.EXPLORE]
    if explore.most:
        done = plan.search.trials - int(explore.most)
        over = f" over {', '.join(each.name for each in plan.methods)}" if plan.methods else ""
        yield "search", _trials(explore, "search ") + over + (f" ({done} done)" if done > 0 else "")
    if Stage.RATES in left and left[Stage.RATES].most:
        at = f"the learning rate at rank {max(plan.declaration.ladder)}" if by_cutting(plan) else "learning rates"
        yield "rates", f"about {_trials(left[Stage.RATES])} to tune {at}"
    if by_cutting(plan):
        yield from _cut_lines(plan, left, cuts_left(plan, record))
    elif Stage.CERTIFY in left and left[Stage.CERTIFY].most:
        ladder = plan.declaration.ladder
        seeds = Span(min(plan.first_look, plan.declaration.seeds), plan.declaration.seeds)
        each = f"{len(ladder)} {terms_of(ladder).many}, {seeds.count()} seeds each"
        yield "verdict", f"{_trials(left[Stage.CERTIFY])} for the verdict ({each})"


def _cut_lines(plan: StudyPlan, left: Mapping[Stage, Span], cuts: Span) -> Iterator[tuple[str, str]]:
    """The stages of a cut ladder."""
    top, smaller = max(plan.declaration.ladder), smaller_ranks(plan)
    trainings = left.get(Stage.CERTIFY, Span(0, 0))
    if trainings.most:
        ranks = "1 smaller rank" if smaller == 1 else f"{smaller} smaller ranks"
        yield "verdict", f"{_counted(trainings, 'training')} at rank {top}, cut to {ranks} each"
    elif cuts.most:
        yield "verdict", f"{_counted(cuts, 'adapter')} to cut from rank {top} and evaluate"
    if Stage.CONFIRM in left and left[Stage.CONFIRM].most:
        most = _counted(left[Stage.CONFIRM].at_most(), "training")
        yield "confirm", f"up to {most} to confirm the chosen rank, those that tune its learning rate included"


def _trials(number: Span, kind: str = "") -> str:
    return _counted(number, f"{kind}trial")


def _counted(number: Span, what: str) -> str:
    return f"{number.count()} {what}{'' if number.most == 1 else 's'}"


def estimate(plan: StudyPlan, record: StudyRecord | None, expected: str | None = None) -> str:
    """Time and disk in words, and what they were estimated from; `expected` until a trial of the study is measured."""
    if not any(left.most for left in (*trials_left(plan, record).values(), cuts_left(plan, record))):
        return "no trial is left to train"
    seconds, size = time_left(plan, record), adapter_bytes_left(plan, record)
    limit = "" if plan.wall_clock is None else f", budget.wall_clock={show_seconds(plan.wall_clock)}"
    if seconds is None or size is None:
        return f"{expected or 'time and disk unknown until the first trial'}{limit}"
    trials = len(measured(record))
    return (
        f"{seconds.seconds()}, adapters about {show_bytes(round(size.most))} "
        f"(estimated from {trials} finished trial{'s' if trials > 1 else ''}){limit}"
    )
