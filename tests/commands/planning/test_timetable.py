"""Trials laid out over workers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.costs import Costs, costs_of
from sweep.commands.planning.outlook import times_of
from sweep.commands.planning.speeds import TRIAL_SECONDS, busy_words, speeds_of_products
from sweep.commands.planning.timetable import LEAST, MOST, Crew, counts_at, seconds_by_stage, slots_of
from sweep.commands.planning.work import Rows
from sweep.commands.planning.workload import Workload
from sweep.records import MeanTokens, Split, StudyPlan
from sweep.study.examples import first_examples
from tests.conftest import cut_record

FACTS = BaseFacts(parameters=1_000_000, body=1_000_000, head=0)
LOAD = Workload(
    training=Rows(10_000, 1000, 100, 9000, 20),
    evaluated={split: Rows(1000, 100, 10, 900, 20) for split in Split},
    prose=Rows(0, 0, 0),
    questions={split: Rows(0, 0, 0) for split in Split},
    labels=0,
    question_labels=0,
    longest=120,
    counted=True,
)


@cache
def plan(*overrides: str) -> StudyPlan:
    words = ["task=pharma", "model=tiny", "executor.workers=2", "executor.threads=1", "evaluate.certify_examples=10"]
    return composed_plan([*words, *overrides])


def costs(known: StudyPlan) -> Costs:
    return costs_of(known, FACTS, LOAD, speeds_of_products(1e9, "packed", 0.25, "a guess"), available=50)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_task_goes_to_the_worker_that_is_free_first() -> None:
    crew = Crew(2)
    assert [crew.give(each) for each in (3, 2, 2)] == [3, 2, 4]
    assert crew.give(1, after=10) == 11
    assert crew.end() == 11
    assert crew.give(1) == 12


def test_trials_in_shared_passes_end_together() -> None:
    assert Crew(2).give_pack([10, 10, 10], slots=2) == [20, 10, 20]
    assert Crew(1).give_pack([10, 10, 10], slots=1) == [10, 20, 30]


def test_counts_of_a_new_study() -> None:
    counts = counts_at(MOST, plan("certify.seeds=5", "search.trials=7"), None)
    assert (counts.explore, counts.trainings, counts.cuts, counts.test) == (7, 5, 25, 2)
    assert counts.base == (Split.TUNE, Split.CERTIFY, Split.TEST)
    assert counts_at(LEAST, plan("certify.seeds=5"), None).trainings == 3


def test_a_finished_study_has_nothing_left() -> None:
    record = cut_record()
    known = plan(f"search.trials={len(record.trials)}", "certify.ladder=[2,4,8,16,32]", "certify.seeds=3")
    counts = counts_at(MOST, known, record)
    assert (counts.explore, counts.rates, counts.trainings) == (0, 0, 0)


def test_seconds_are_those_of_the_busiest_worker() -> None:
    known = plan("certify=none", "search.trials=3", "engine.slots=1")
    each = costs(known)
    trial = each.training(known.arm) + each.evaluation(Split.TUNE, known.arm)
    stages = seconds_by_stage(counts_at(MOST, known, None), each)
    assert stages["search"] == pytest.approx(2 * trial)
    assert stages["base"] == pytest.approx(each.evaluation(Split.TUNE, None))


def test_cuts_begin_when_their_adapter_is_trained() -> None:
    known = plan("search.trials=2", "certify.seeds=3", "certify.rate_trials=2", "certify.ladder=[2,4,8]")
    each = costs(known)
    training = each.training(known.arm) + each.evaluation(Split.CERTIFY, known.arm)
    verdict = seconds_by_stage(counts_at(MOST, known, None), each)["verdict"]
    assert 2 * training <= verdict <= 2 * training + 6 * each.cut(known.arm)


def test_a_wider_spread_widens_the_limits_alone() -> None:
    known = plan("certify.seeds=5")
    times = times_of(known, None, costs(known))
    low, middle, high = (sum(getattr(each, name) for each in times) for name in ("low", "middle", "high"))
    assert low * 1.25 < middle < high / 1.25
    assert [each.name for each in times] == ["start", "base", "search", "rates", "verdict", "test", "end"]


@pytest.mark.parametrize("rate", [1.0, 1e20])
def test_a_study_chooses_certify_examples_by_what_a_training_takes(rate: float) -> None:
    known = replace(plan(), setup=replace(plan().setup, scoring=replace(plan().setup.scoring, certify_examples=None)))
    speeds = speeds_of_products(rate, "packed", 0.2, "")
    tokens = {"train": MeanTokens(100, 10), "certify": MeanTokens(100, 10)}
    for available in (60, 500):
        chosen = costs_of(known, FACTS, LOAD, speeds, available).certify_examples
        assert chosen == first_examples(known, tokens, available)


def test_a_base_of_an_arm_of_its_own_is_loaded_first() -> None:
    known = plan("quant=none", "certify.ladder=[{method: lora, r: 4, quant: nf4}, {method: lora, r: 8}]")
    first, second = (each.arm for each in known.declaration.arms)
    assert costs(known).training(first) > costs(known).training(second) + 2 * costs(known).loading_seconds() - 1


def test_trials_side_by_side_where_that_is_left_open() -> None:
    trainer = replace(plan(), setup=replace(plan().setup, engine="trainer"))
    assert (slots_of(plan()), slots_of(replace(plan(), slots=3)), slots_of(trainer)) == (2, 3, 1)


def test_what_a_trial_takes_besides() -> None:
    assert costs(plan()).evaluation(Split.TUNE, None) > TRIAL_SECONDS


@pytest.mark.parametrize(("load", "busy"), [(0.4, False), (5.0, True)])
def test_a_busy_machine_is_said_to_be_busy(load: float, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    assert (busy_words(2) is not None) == busy
