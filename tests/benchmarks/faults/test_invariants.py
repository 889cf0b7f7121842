"""Each invariant holds for an undisturbed study, and finds the violation that is planted here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.faults.call import Ended
from benchmarks.faults.invariants import INVARIANTS, TOLERANCE, Evidence, violations
from benchmarks.faults.state import Finished, State, Trial

BASE = Trial("base", "tune", 0, "", 0, "complete", 5.0, "data")
EXPLORED = Trial("explore", "tune", 4, "0.02", 0, "complete", 4.0, "data")
CERTIFIED = Trial("certify", "certify", 4, "0.03", 1, "complete", 3.0, "data")
DECIDED: dict[str, Any] = {
    "status": "certified",
    "rank": 4,
    "bracket": [4, 4],
    "margin_in_loss": 0.5,
    "ladder": [{"rank": 4, "state": "certified", "seeds": 1, "mean": 3.0}],
    "test": {"base": 5.0},
}
FINISHED = Finished({"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 3})
STATE = State((BASE, EXPLORED, CERTIFIED), DECIDED, FINISHED)
KILLED = Ended(-9, "loading\n", 3.0, frozenset({0, -9}))
FINE = Ended(0, "status: certified\n", 9.0, frozenset({0}))
GOOD = Evidence([KILLED, FINE], 1, STATE, STATE, kept=[Finished({"a": 1}, {})])


def with_state(**changes: Any) -> Evidence:
    return replace(GOOD, state=replace(STATE, **changes))


def with_trials(*trials: Trial) -> Evidence:
    return with_state(trials=trials)


def with_calls(*calls: Ended) -> Evidence:
    return replace(GOOD, calls=calls)


PLANTED = {
    "a trial twice": ("every trial once", with_trials(BASE, EXPLORED, EXPLORED, CERTIFIED)),
    "a trial missing": ("every trial once", with_trials(BASE, EXPLORED)),
    "a trial too many": ("every trial once", with_trials(*STATE.trials, replace(CERTIFIED, seed=2))),
    "another rate": ("every trial once", with_trials(BASE, replace(EXPLORED, learning_rate="0.021"), CERTIFIED)),
    "a trial that failed": ("every trial once", with_trials(*STATE.trials, replace(CERTIFIED, status="failed"))),
    "another loss": ("losses", with_trials(BASE, EXPLORED, replace(CERTIFIED, loss=3.0 + 2 * TOLERANCE))),
    "no loss": ("losses", with_trials(BASE, EXPLORED, replace(CERTIFIED, loss=float("nan")))),
    "other data": ("losses", with_trials(BASE, EXPLORED, replace(CERTIFIED, data="others"))),
    "no verdict": ("verdict", with_state(decided=None)),
    "another rank": ("verdict", with_state(decided={**DECIDED, "rank": 8})),
    "another status": ("verdict", with_state(decided={**DECIDED, "status": "provisional"})),
    "another state in the ladder": (
        "verdict",
        with_state(decided={**DECIDED, "ladder": [{**DECIDED["ladder"][0], "state": "undecided"}]}),
    ),
    "another mean": (
        "verdict",
        with_state(decided={**DECIDED, "ladder": [{**DECIDED["ladder"][0], "mean": 3.00001}]}),
    ),
    "a shorter ladder": ("verdict", with_state(decided={**DECIDED, "ladder": []})),
    "no test": ("verdict", with_state(decided={**DECIDED, "test": {}})),
    "a result made again": ("finished is kept", with_state(finished=replace(FINISHED, results={**FINISHED.results, "a": 9}))),
    "a result lost": ("finished is kept", with_state(finished=replace(FINISHED, results={"b": 2, "c": 3}))),
    "an adapter made again": ("finished is kept", replace(GOOD, kept=[Finished({}, {"b": 1})])),
    "an adapter too many": ("trainings", with_state(finished=replace(FINISHED, adapters={**FINISHED.adapters, "d": 4}))),
    "an adapter too few": ("trainings", with_state(finished=replace(FINISHED, adapters={"b": 2}))),
    "a run in MLflow": ("nothing running", with_state(running_runs=("r4",))),
    "a trial in Optuna": ("nothing running", with_state(running_trials=1)),
    "a process": ("no orphans", replace(GOOD, left_running=["python -c ..."])),
    "an unreadable database": ("readable", with_state(unreadable=("optuna.db: malformed",))),
    "a traceback": (
        "no traceback",
        with_calls(replace(KILLED, output="Traceback (most recent call last):\n  ...\nKeyError: 'recipe'\n"), FINE),
    ),
    "a traceback at exit": ("no traceback", with_calls(KILLED, replace(FINE, output="Exception ignored in: <x>\n"))),
    "Hydra's words": ("no traceback", with_calls(replace(KILLED, output="Error executing job with overrides: []"), FINE)),
    "another exit code": ("exit code", with_calls(replace(KILLED, code=1), FINE)),
    "an error without a word": (
        "exit code",
        with_calls(Ended(3, " \n", 1.0, frozenset({3})), FINE),
    ),
    "an error that names nothing": (
        "words",
        with_calls(Ended(3, "something went wrong\n", 1.0, frozenset({3}), says="optuna.db"), FINE),
    ),
    "a silent omission": ("words", with_calls(KILLED, replace(FINE, always_says="left out"))),
    "a call without end": ("in time", with_calls(replace(KILLED, in_time=False), FINE)),
    "a study that does not go on": (
        "done",
        with_calls(KILLED, *[Ended(3, "no\n", 1.0, frozenset({3}))] * 3),
    ),
    "a study that was done only before the fault": ("done", with_calls(FINE)),
    "a file where none belongs": ("nothing outside", replace(GOOD, outside=["mlruns"])),
}  # fmt: skip


def test_an_undisturbed_study_violates_nothing() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_violation_is_found_by_its_invariant_alone(planted: str) -> None:
    name, evidence = PLANTED[planted]
    texts = violations(evidence)
    assert texts
    assert {text.partition(":")[0] for text in texts} == {name}, texts


def test_every_invariant_has_a_planted_violation() -> None:
    assert {name for name, _ in PLANTED.values()} == set(INVARIANTS)


def test_losses_may_differ_in_the_last_digits() -> None:
    assert violations(with_trials(BASE, EXPLORED, replace(CERTIFIED, loss=3.0 + TOLERANCE / 2))) == []


def test_an_interrupted_trial_beside_the_complete_one_is_none_of_the_faults() -> None:
    assert violations(with_trials(*STATE.trials, replace(CERTIFIED, status="interrupted"))) == []


def test_where_another_end_is_due_the_rest_still_holds() -> None:
    other = replace(with_trials(BASE, EXPLORED, EXPLORED), same_end=False)
    assert {text.partition(":")[0] for text in violations(other)} == {"every trial once"}
    assert violations(replace(with_trials(BASE), same_end=False)) == []
    refused = Ended(4, "no trial is complete\n", 3.0, frozenset({0, 4}))
    assert violations(replace(with_calls(refused, refused), same_end=False, goes_on=False)) == []


def test_what_was_damaged_on_purpose_need_not_be_kept() -> None:
    made_again = replace(GOOD, kept=[Finished({"a": 0}, {})])
    assert violations(made_again)
    assert violations(replace(made_again, damaged=frozenset({"a"}))) == []
    gone = with_state(finished=replace(FINISHED, adapters={"b": 2}))
    assert violations(gone)
    assert violations(replace(gone, damaged=frozenset({"c"}))) == []


def test_another_study_may_be_trained_where_the_data_was_changed() -> None:
    more = with_state(finished=replace(FINISHED, adapters={**FINISHED.adapters, "d": 4}))
    assert violations(replace(more, trains_more=True)) == []
    fewer = with_state(finished=replace(FINISHED, adapters={"b": 2, "d": 4}))
    assert violations(replace(fewer, trains_more=True)) == ["trainings: the adapter c is missing"]


def test_a_call_whose_outputs_were_taken_away_need_not_speak() -> None:
    assert violations(with_calls(Ended(3, "", 1.0, frozenset({3}), says="space", silent=True), FINE)) == []
