"""The command that settles what is open, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import yaml

from sweep.records import Certification, Rung, StudyRecord
from sweep.verdict.conclusion import Finding
from sweep.verdict.experiments import longer_ladder, with_values
from sweep.verdict.findings import margin_changed
from sweep.verdict.guards import Edge
from sweep.verdict.ladder import LadderData
from sweep.verdict.record import Need, Verdict, active_ranks

MOST_TIMES_THE_STUDY = 4
"""A step that takes more work than this many times the study so far is not proposed. The number of seeds follows from how far the
estimate lies from the margin; when it is that large, the distance is small compared with its error, and the number is uncertain."""


def settle(
    record: StudyRecord,
    certification: Certification,
    data: LadderData,
    verdict: Verdict | None,
    edges: list[Edge],
    findings: tuple[Finding, ...],
) -> tuple[str, float] | None:
    """The command and its expected seconds, from the trials so far; None if nothing is open or no command would help.

    In this order: finish the study, meet the guards, forget less, add seeds or certify examples (whichever is cheaper), widen the
    ladder. If no number of them is likely to close the bracket and nothing is certified, a few more seeds may still certify a rank.
    """
    kinds = {finding.kind for finding in findings}
    each = _seconds_per_trial(record, certification)
    if "base_as_good" in kinds:
        return None
    unfinished = _unfinished(record, certification, data, verdict)
    if unfinished:
        return record.command, unfinished
    if margin_changed(record, certification):
        first = certification.declared
        values = {"margin": f"{first.margin:g}", "margin_of": first.margin_of, "alpha": f"{first.alpha:g}"}
        if first.max_forgetting != record.declaration.max_forgetting:
            values["max_forgetting"] = "null" if first.max_forgetting is None else f"{first.max_forgetting:g}"
        return with_values(record.command, {f"certify.{key}": value for key, value in values.items()}), 0.0
    if verdict is None:
        return None
    if verdict.exhausted:
        return with_values(record.command, _forgetting_less(record)), _seconds_of_all(record, certification)
    if any(isinstance(edge.rank, Rung) for edge in edges):  # `words.edge` says what to change in the ladder
        edges = []
    if edges and verdict.rank is not None:
        return with_values(record.command, _widened(edges)), _seconds_of_all(record, certification)
    if verdict.needed is not None:
        cost, there = seconds_per_rank(record, certification), Need(verdict.most_seeds, verdict.examples)
        ranks = len(active_ranks(verdict)) if certification.declared.cut_from is None else 1
        seconds = ranks * (cost(verdict.needed) - cost(there))
        return with_values(record.command, _to_have(verdict.needed, verdict)), seconds
    if edges:
        return with_values(record.command, _widened(edges)), _seconds_of_all(record, certification)
    if "still_improving" in kinds and not certification.declared.arms:  # of arms, the finding has its own experiment
        # of a cut ladder, all that is cut is trained at the larger rank
        seconds = (1 + max(verdict.seeds)) * each
        return longer_ladder(record), seconds
    if verdict.rank is None and active_ranks(verdict):
        more = max(2, verdict.most_seeds // 2)
        seconds = more * sum(_seconds_of_rank(record, certification, rank) for rank in active_ranks(verdict))
        return with_values(record.command, {"certify.seeds": str(verdict.most_seeds + more)}), seconds
    return None


def work_per_rank(record: StudyRecord, certification: Certification) -> Callable[[Need], float]:
    """As `seconds_per_rank`, in trainings: what is proposed, and what a study does next, must not depend on how busy a machine was."""
    ranks = 1 if certification.declared.cut_from is None else len(certification.complete_ranks())
    return lambda need: need.seeds * (1 + ranks * need.examples * record.example_work)


def seconds_per_rank(record: StudyRecord, certification: Certification) -> Callable[[Need], float]:
    """Expected seconds of a rank with a number of seeds and examples, starting from none, as the trials so far took.

    A seed is a training, evaluated on the present examples. An additional example is evaluated with every adapter of the rank, later
    ones included; nothing is trained for it. Of a cut ladder, these are the seconds of the whole ladder: a seed is one training, and
    its cuts to all ranks are evaluated.
    """
    evaluation, there = _seconds_per_example(record, certification), len(certification.tokens)
    if certification.declared.cut_from is None:
        ranks, seed = 1, _seconds_per_trial(record, certification)
    else:
        ladder = certification.complete_ranks()
        ranks, seed = len(ladder), sum(_seconds_of_rank(record, certification, rank) for rank in ladder)
    return lambda need: need.seeds * (seed + ranks * (need.examples - there) * evaluation)


def _to_have(need: Need, verdict: Verdict) -> dict[str, str]:
    """The keys that ask for it, those that need no change left out."""
    return {
        **({"certify.seeds": str(need.seeds)} if need.seeds > verdict.most_seeds else {}),
        **({"evaluate.certify_examples": str(need.examples)} if need.examples > verdict.examples else {}),
    }


def _forgetting_less(record: StudyRecord) -> dict[str, str]:
    """Keys of a study whose adapters forget less, under another name, so that this one's answer stays."""
    known = yaml.safe_load(record.config) or {}
    train = known.get("train") or {}
    name = {"study.name": f"{record.name}-less-forgetting"}
    if "replay" in train and not train["replay"]:
        return {**name, "train.replay": "0.2"}
    steps = train.get("steps")
    return {**name, "train.steps": str(max(1, steps // 2))} if isinstance(steps, int) else name


def _unfinished(record: StudyRecord, certification: Certification, data: LadderData, verdict: Verdict | None) -> float:
    """Upper limit of the seconds that the study's own command would still take."""
    if verdict is not None and verdict.futile is not None:
        return 0.0
    goal = record.declaration.seeds
    ranks = active_ranks(verdict) if verdict is not None else data.ranks if not data.looks else ()
    return sum(
        max(0, goal - len(certification.complete(rank))) * _seconds_of_rank(record, certification, rank)
        for rank in (*ranks, *data.pending)
    )


def _widened(edges: list[Edge]) -> dict[str, str]:
    """A range of rates that reaches as far as was tried, so that rates beyond it may be tried."""
    low = [edge.learning_rate for edge in edges if edge.side == "lowest"]
    high = [edge.learning_rate for edge in edges if edge.side == "highest"]
    return {
        **({"search.space.learning_rate.low": f"{min(low):.2g}"} if low else {}),
        **({"search.space.learning_rate.high": f"{max(high):.2g}"} if high else {}),
    }


def _seconds_per_trial(record: StudyRecord, certification: Certification) -> float:
    """What a training of the ladder adds to the study's time; some run at the same time."""
    top = certification.declared.cut_from
    took = [
        trial.seconds
        for trial in certification.trials
        if trial.is_complete and top in (None, certification.rung_of(trial))
    ]
    return median(took) / record.parallel if took else 0.0


def _seconds_of_rank(record: StudyRecord, certification: Certification, rank: int) -> float:
    """Likewise of one seed of a rank, which is cut, if not trained."""
    if certification.declared.cut_from in (None, rank):
        return _seconds_per_trial(record, certification)
    took = [
        trial.seconds
        for trial in certification.trials
        if trial.is_complete and certification.rung_of(trial) != certification.declared.cut_from
    ]
    return median(took) / record.parallel if took else 0.0


def _seconds_per_example(record: StudyRecord, certification: Certification) -> float:
    """What evaluating one certify example with one adapter adds to the study's time."""
    measured = [trial.measures for trial in certification.trials if trial.measures is not None]
    took = [measures.eval_seconds / measures.examples for measures in measured if measures.examples]
    return median(took) / record.parallel if took else 0.0


def most_work(record: StudyRecord, certification: Certification) -> float:
    """The most that a step may take to be proposed, in trainings."""
    return MOST_TIMES_THE_STUDY * (len(record.trials) + len(certification.trained()))


def _seconds_of_all(record: StudyRecord, certification: Certification) -> float:
    """Another range of rates is another search: nearly all is trained again."""
    trials = (*record.trials, *certification.trained())
    return sum(trial.seconds for trial in trials) / record.parallel
