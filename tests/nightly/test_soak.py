"""Forty simulated nights, disturbed at random (`tests.nightly.soak`).

Other nights: `SOAK_SEED=7 pytest -m slow tests/nightly/test_soak.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.nightly.night import Night, Outcome
from tests.nightly.soak.checks import CHECKS, violations
from tests.nightly.soak.evidence import Evidence, Work, gathered
from tests.nightly.soak.plan import ALONE, CHANGES, WITH_SERVERS, Fault, NightPlan, soak_plan
from tests.nightly.soak.play import Played, play
from tests.nightly.soak.process import Ended
from tests.nightly.soak.world import ROLLING, SEARCH, world

SEED = int(os.environ.get("SOAK_SEED", "1"))
NIGHTS_WITH_SERVERS = sum(WITH_SERVERS.values())


@pytest.mark.slow
@pytest.mark.longest
def test_forty_nights_are_all_accounted_for(tmp_path: Path, empty_store: Path) -> None:
    with world(tmp_path / "soak", empty_store) as made:
        if not made.small_disk:
            pytest.skip("no disk can be filled here: mounting a small one takes root")
        played = play(made, soak_plan(SEED), SEED, NIGHTS_WITH_SERVERS)
        evidence = gathered(made, played)
    found = violations(evidence)
    for place, text in evidence.logs.items():
        if any(place.rpartition(" of ")[2] in each for each in found):
            print(f"{place}:\n{text}")  # pytest shows it if the test fails
    assert not found
    events = [entry[0] for entry in evidence.work.history]
    assert events[0] == "verdict"
    assert "promotion" in events
    assert len(evidence.work.drift) == 2 * CHANGES


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forty_nights_have_every_fault(seed: int) -> None:
    plan = soak_plan(seed)
    assert plan == soak_plan(seed)
    assert plan != soak_plan(seed + 10)
    assert len(plan) == 40
    assert Counter(night.fault for night in plan) == Counter(WITH_SERVERS) + Counter(ALONE)
    assert {night.fault for night in plan} == set(Fault)
    assert sum(night.changes_data for night in plan) == 2 * CHANGES
    assert plan[NIGHTS_WITH_SERVERS - 1].fault is plan[-1].fault is Fault.NONE
    assert any(night.fault is Fault.WORKER_KILLED and night.more_trials and night.delay < 2 for night in plan)


QUIET = Ended(0, "", 3.0, 10**8, ())
TITLES = {ROLLING: "rolling, night of {}: done", SEARCH: "search, night of {}: done"}


def night(name: str, day: str, trained: int = 0) -> Night:
    return Night(name, name, day, 0.0, 1.0, Outcome.DONE, 0, trained=trained)


def undisturbed() -> Evidence:
    """Six quiet nights after one with work."""
    days = [f"2027-02-{day:02}" for day in range(5, 12)]
    played = [
        Played(NightPlan(Fault.NONE, 1.0), day, number == 0, number == 0, (QUIET,), (), 10 + 2 * number, 1000 * number)
        for number, day in enumerate(days)
    ]
    work = Work([("verdict", 1)], [], {"a": 1.0, "b": 2.0})
    nights = {ROLLING: [night(ROLLING, day) for day in days], SEARCH: [night(SEARCH, "2027-02-04", trained=2)]}
    return Evidence(
        played,
        nights,
        work,
        work,
        {"COMPLETE": 2},
        2,
        [
            ("FINISHED", ROLLING, "a", "x"),
            ("FINISHED", ROLLING, "a", "y"),
            ("FINISHED", SEARCH, "b", "v"),
            ("KILLED", SEARCH, "b", "w"),
            ("FINISHED", SEARCH, None, None),
        ],
        [],
        [],
        [TITLES[name].format(each.date) for name, recorded in nights.items() for each in recorded],
        {"tick": "fine"},
    )


def test_an_undisturbed_soak_has_no_violations() -> None:
    assert violations(undisturbed()) == []


def _last(ticks: tuple[Ended, ...] = (QUIET,), **changes: Any) -> Evidence:
    """The last night changed."""
    made = undisturbed()
    return replace(made, played=[*made.played[:-1], replace(made.played[-1], ticks=ticks, **changes)])


def _nights(name: str, *nights: Night) -> Evidence:
    made = undisturbed()
    return replace(made, nights={**made.nights, name: nights})


def _late(**changes: float) -> Evidence:
    made = undisturbed()
    heavy = (replace(QUIET, **changes),)  # type: ignore[arg-type]
    return replace(made, played=[*made.played[:-2], *(replace(each, ticks=heavy) for each in made.played[-2:])])


PLANTED = {
    "every_night_is_accounted_for": [
        _nights(SEARCH),
        _nights(SEARCH, night(SEARCH, "2027-02-04"), night(SEARCH, "2027-02-05")),
        _nights(SEARCH, replace(night(SEARCH, "2027-02-04", trained=2), outcome=Outcome.FAILED, reason="why")),
        replace(undisturbed(), open=[ROLLING]),
    ],
    "ticks_end_in_order": [
        _last((replace(QUIET, code=1),)),
        _last((replace(QUIET, late=True),)),
        replace(undisturbed(), logs={"tick": "Traceback (most recent call last)"}),
    ],
    "every_fault_strikes": [_last(plan=NightPlan(Fault.POWER_CUT, 1.0))],
    "nothing_is_lost_or_repeated": [
        replace(undisturbed(), undisturbed=Work([("verdict", 1)], [(1,)], {"a": 1.0, "b": 2.0})),
        replace(undisturbed(), undisturbed=Work([("verdict", 2)], [], {"a": 1.0, "b": 2.0})),
        replace(undisturbed(), undisturbed=Work([("verdict", 1)], [], {"a": 1.0, "b": 2.1})),
        replace(undisturbed(), undisturbed=Work([("verdict", 1)], [], {"a": 1.0})),
        replace(undisturbed(), undisturbed=Work([("verdict", 1)], [], {"a": 1.0, "b": 2.0, "c": 3.0})),
        replace(undisturbed(), search_trials={"COMPLETE": 2, "RUNNING": 1}),
        _nights(SEARCH, night(SEARCH, "2027-02-04", trained=3)),
    ],
    "everything_is_recorded_in_mlflow": [
        replace(undisturbed(), runs=undisturbed().runs[:1]),
        replace(undisturbed(), runs=[*undisturbed().runs, ("FINISHED", ROLLING, "a", "y")]),
        replace(undisturbed(), runs=[*undisturbed().runs, ("FINISHED", SEARCH, "b", "w")]),
        replace(undisturbed(), runs=[*undisturbed().runs, ("RUNNING", SEARCH, None, None)]),
        replace(undisturbed(), spooled=["tracking/x.jsonl"]),
    ],
    "every_night_has_its_note": [
        replace(undisturbed(), notes=undisturbed().notes[:-1]),
        replace(undisturbed(), notes=[*undisturbed().notes, undisturbed().notes[0]]),
    ],
    "no_process_stays_behind": [
        _last((replace(QUIET, zombies=("python",)),)),
        _last(left=("python -m sweep",)),
    ],
    "nothing_grows": [
        _late(memory=12 * 10**7),
        _late(cpu=6.0),
        _last(files=30),
        _last(size=10**6),
    ],
}


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_a_check_finds_what_it_is_for(check: str) -> None:
    for planted in PLANTED[check]:
        assert check in {text.partition(":")[0] for text in violations(planted)}, planted
