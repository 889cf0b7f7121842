"""Progress where the output is not a terminal: a line per ended trial, and one now and then."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from sweep.commands.app import composed_plan
from sweep.records import Arm, Split, Stage, Status, StepLoss, TrialResult
from sweep.reports.progress import LiveDisplay, outcome
from sweep.workers.messages import Progress
from tests.conftest import arm, result, study_record

BASE = result(None, 4.0)


@pytest.fixture
def display(out: Console) -> Iterator[LiveDisplay]:
    with LiveDisplay(out) as shown:
        yield shown


def lines(out: Console) -> list[str]:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def named(identity: str, recipe: Arm, loss: float | None, status: Status = Status.COMPLETE) -> TrialResult:
    ended = result(recipe, loss, status, None if loss is not None else "out of memory")
    return replace(ended, spec=replace(ended.spec, identity=identity))


def run(display: LiveDisplay, number: int, ended: TrialResult, *messages: Progress) -> None:
    display.began(number, ended.spec)
    for message in messages:
        display.progressed(ended.spec, message)
    display.ended(number, ended)


def test_every_trial_ends_with_a_line(display: LiveDisplay, out: Console) -> None:
    display.waiting("loading tiny (nf4)")
    run(display, 0, BASE)
    display.planned(3, 0)
    run(display, 1, named("a", arm(8), 0.5))
    run(display, 2, named("b", arm(16), None, Status.INFEASIBLE))
    assert lines(out) == [
        "loading tiny (nf4)",
        "base model: loss 4.0000  accuracy 0.500  in 23 s",
        "trial 1 of 3  r8-lr2e-03-s0: loss 0.5000  accuracy 0.500  in 23 s  (about 46 s left)",
        "trial 2 of 3  r16-lr2e-03-s0: infeasible: out of memory  (about 23 s left)",
    ]


def test_of_several_methods_each_trial_is_named_by_its_own(display: LiveDisplay, out: Console) -> None:
    plan = composed_plan(["search.space.method=[lora,rslora,dora]", "certify=none"])
    display.study(plan, study_record([]))
    display.planned(2, 0)
    run(display, 1, named("a", arm(8), 0.5))
    run(display, 2, named("b", replace(arm(8), method="dora"), 0.5))
    assert [line.split()[4].rstrip(":") for line in lines(out)[1:]] == ["lora-r8-lr2e-03-s0", "dora-r8-lr2e-03-s0"]


def test_step_and_loss_are_printed_now_and_then(display: LiveDisplay, out: Console) -> None:
    display.planned(3, 0)
    ended = named("a", arm(8), 0.5)
    run(display, 1, ended, *(Progress("identity", "train", step, 100, 2.0 / step) for step in range(1, 101)))
    assert lines(out)[0] == "  trial 1 of 3  r8-lr2e-03-s0  training 1/100  loss 2.000"
    assert len(lines(out)) == 2


@pytest.mark.parametrize("ended_before", [0, 1])
def test_a_terminal_shows_the_time_left_once_a_trial_has_ended(ended_before: int) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    with LiveDisplay(terminal) as display:
        display.planned(3, 0)
        if ended_before:
            run(display, 1, named("a", arm(8), 0.5))
        trial = named("b", arm(16), 0.4)
        display.began(ended_before + 1, trial.spec)
        display.progressed(trial.spec, Progress("identity", "train", 1, 100, 1.5))
    shown = "\n".join(lines(terminal))
    assert "training 1/100  loss 1.500" in shown
    assert ("left" in shown) == bool(ended_before)


def test_two_trials_side_by_side_have_their_own_lines(display: LiveDisplay, out: Console) -> None:
    display.planned(2, 0)
    first, second = named("a", arm(8), 0.5), named("b", arm(16), 0.4)
    display.began(1, first.spec)
    display.began(2, second.spec)
    display.ended(2, second)
    display.ended(1, first)
    assert [line.partition(":")[0] for line in lines(out)] == [
        "trial 2 of 2  r16-lr2e-03-s0",
        "trial 1 of 2  r8-lr2e-03-s0",
    ]


def test_notes_are_printed_as_they_are(display: LiveDisplay, out: Console) -> None:
    display.note("train: row 3 [of 4] is a duplicate")
    assert lines(out) == ["train: row 3 [of 4] is a duplicate"]


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (named("a", arm(8), 0.25), "loss 0.2500  accuracy 0.500  in 23 s"),
        (named("a", arm(8), None, Status.FAILED), "failed: out of memory"),
        (named("a", arm(8), None, Status.INTERRUPTED), "interrupted: out of memory"),
    ],
)
def test_outcome_in_half_a_line(ended: TrialResult, text: str) -> None:
    assert outcome(ended) == text


def test_a_study_begins_with_its_plan_and_its_lines_count_all_stages(display: LiveDisplay, out: Console) -> None:
    plan = composed_plan(["certify.ladder=[2,4,8]", "certify.seeds=3", "certify.rate_trials=6", "search.trials=2"])
    declaration = replace(plan.declaration, ladder_by="train")
    display.study(replace(plan, workers=1, slots=1, declaration=declaration), study_record([]))
    display.planned(2, 0)
    run(display, 1, named("a", arm(8), 0.5))
    first, last = lines(out)
    assert first == (
        "plan: 2 search trials; about 6 trials to tune learning rates; 9 trials for the verdict (3 ranks, 3 seeds each); "
        "time and disk unknown until the first trial"
    )
    assert last.startswith("trial 1 of 2  r8-lr2e-03-s0: loss 0.5000")
    assert last.endswith("  (about 6 min left)")  # 16 trials of 23 s and their evaluation


def cut_and_trained(number: int) -> tuple[TrialResult, TrialResult]:
    """A certify trial of rank 32, and one of an adapter that is cut from it."""
    certify = {"stage": Stage.CERTIFY, "split": Split.CERTIFY, "seed": number}
    trained, cut = named(f"t{number}", arm(32), 0.4), named(f"c{number}", replace(arm(4), cut_from=32), 0.41)
    assert cut.measures is not None
    cut = replace(cut, seconds=2.0, measures=replace(cut.measures, energy_kept=0.93))
    return (
        replace(trained, spec=replace(trained.spec, **certify)),
        replace(cut, spec=replace(cut.spec, **certify)),
    )


def test_trainings_and_cuts_are_counted_apart(display: LiveDisplay, out: Console) -> None:
    display.planned(2, 0, cuts=2, cuts_done=0)
    for number in (1, 2):
        trained, cut = cut_and_trained(number)
        run(display, 2 * number - 1, trained)
        run(display, 2 * number, cut)
    assert [line.partition("  (")[0] for line in lines(out)] == [
        "certify 1 of 2  r32-lr2e-03-s1: loss 0.4000  accuracy 0.500  in 23 s",
        "cut 1 of 2  r4of32-lr2e-03-s1: loss 0.4100  accuracy 0.500  keeps 93.0 %  in 2.0 s",
        "certify 2 of 2  r32-lr2e-03-s2: loss 0.4000  accuracy 0.500  in 23 s",
        "cut 2 of 2  r4of32-lr2e-03-s2: loss 0.4100  accuracy 0.500  keeps 93.0 %  in 2.0 s",
    ]


def test_a_resumed_stage_goes_on_counting(display: LiveDisplay, out: Console) -> None:
    display.planned(4, 3, cuts=20, cuts_done=15)
    trained, cut = cut_and_trained(4)
    run(display, 19, trained)
    run(display, 20, cut)
    assert [line.partition("  ")[0] for line in lines(out)] == ["certify 4 of 4", "cut 16 of 20"]


def test_trainings_that_confirm_have_their_own_word(display: LiveDisplay, out: Console) -> None:
    display.planned(4, 0)
    trained, _ = cut_and_trained(1)
    run(display, 1, replace(trained, spec=replace(trained.spec, stage=Stage.CONFIRM)))
    assert lines(out)[0].startswith("confirm 1 of 4  r32-lr2e-03-s1: loss 0.4000")


def test_a_trial_that_stopped_early_says_where() -> None:
    trained, cut = cut_and_trained(1)
    assert trained.measures is not None
    assert cut.measures is not None
    steps = tuple(StepLoss(step, 1.0, 1e-3) for step in range(1, 33))
    stopped = replace(trained, measures=replace(trained.measures, kept_step=24), history=steps)
    assert outcome(stopped) == "loss 0.4000  accuracy 0.500  weights of step 24, stopped at 32  in 23 s"
    assert "step" not in outcome(replace(cut, measures=replace(cut.measures, kept_step=24)))
