"""The memory of a worker: as trials measured it, or estimated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.base_facts import facts_by_size
from sweep.commands.planning.memory import copied_bytes, worker_memory
from sweep.commands.planning.recorded import TimedTrial
from sweep.records import StudyPlan
from tests.commands.planning.test_timetable import LOAD
from tests.conftest import arm, result

GB = 10**9
FACTS = facts_by_size(100_000_000)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> StudyPlan:
    return composed_plan(["task=pharma", "model=tiny", "device=cpu", "quant.compute=float32"])


def test_copies_of_4_bit_weights_are_kept_where_there_is_room(plan: StudyPlan) -> None:
    assert copied_bytes(plan, FACTS, free=2 * GB) == 400_000_000
    assert copied_bytes(plan, FACTS, free=GB) == 0
    never, none = (
        replace(plan, setup=replace(plan.setup, quant=replace(plan.setup.quant, **about)))
        for about in ({"cache": "never"}, {"name": "none"})
    )
    assert copied_bytes(never, FACTS, free=9 * GB) == copied_bytes(none, FACTS, free=9 * GB) == 0


def test_peaks_of_trials_of_the_method_are_taken_and_others_are_not(plan: StudyPlan) -> None:
    def trial(method: str, unlike: tuple[str, ...] = ()) -> TimedTrial:
        return TimedTrial(method, unlike, result(arm(8), 1.0), "nf4")

    measured = worker_memory(plan, FACTS, LOAD, [trial("lora"), trial("ia3")], [1], free=8 * GB)
    assert (measured.measured, measured.bytes) == (True, 900_000_008 + 400_000_000)
    for other in (trial("ia3"), trial("lora", ("engine",))):
        assert not worker_memory(plan, FACTS, LOAD, [other], [1], free=8 * GB).measured


def test_a_large_base_needs_more_than_a_small_one(plan: StudyPlan, tmp_path: Path) -> None:
    small, large = (worker_memory(plan, facts_by_size(size), LOAD, [], [1], free=8 * GB) for size in (10**8, 8 * 10**9))
    assert small.bytes < 3 * GB < 8 * GB < large.bytes
    assert large.copies == 0
