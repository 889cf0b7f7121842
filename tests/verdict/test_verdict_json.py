"""verdict.json: every field of the contract, valid against its schema for every status, and no infinity in it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from sweep.records import Declaration, Status, StudyRecord
from sweep.verdict.conclude import conclude
from sweep.verdict.verdict_json import verdict_json, verdict_schema
from tests.conftest import arm, certified_record, result, study_record
from tests.verdict.studies import with_kinds
from tests.verdict.test_conclude import with_certification
from tests.verdict.test_cut_conclusions import confirmed
from tests.verdict.test_kinds import COUNTS, SCORES

CREATED = "2026-01-31T12:00:00+00:00"
VALIDATOR = Draft202012Validator(verdict_schema(), format_checker=FormatChecker())
RECORDS = {
    "certified": certified_record(final=(8, 32), failures={64: (Status.INFEASIBLE, "out of memory")}),
    "certified: open": certified_record({2: 0.45, 4: 0.335, 8: 0.30, 16: 0.30}),
    "certified: on the metric": certified_record(margin_of="metric", margin=0.015, final=(4, 32)),
    "certified: kinds": with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS),
    "certified: kinds of an older record": with_kinds(certified_record(), SCORES, {}),
    "certified: metric not gained": certified_record(scores={0: 0.57, **dict.fromkeys((2, 4, 8, 16, 32), 0.54)}),
    "certified: cut": certified_record(final=(8, 32), ladder_by="cut"),
    "certified: confirmed": confirmed({4: 0.31, 8: 0.3}),
    "provisional: cut": certified_record(at_edge=(32,), ladder_by="cut"),
    "provisional": certified_record(at_edge=(4, 8)),
    "provisional: margin changed": certified_record(declared=Declaration((2, 4), 3, 0.1, "loss", 0.1)),
    "undecided": certified_record(seed_noise=0.02, final=(8, 32), stopped="budget.wall_clock=25 min is spent"),
    "undecided: one seed": certified_record(seeds=1),
    "undecided: one rank": certified_record({8: 0.3}),
    "undecided: no look": with_certification(certified_record(), looks=()),
    "undecided: no gain": certified_record(base_loss=0.25),
    "undecided: no base": certified_record(base_loss=None),
    "undecided: no answers": certified_record(margin_of="metric", answers=False),
    "undecided: explored": study_record([result(arm(8), 0.4), result(arm(16), 0.3)]),
    "undecided: rates tuned": with_certification(
        certified_record(), trials=(), looks=(), stopped="the budget is spent"
    ),
    "undecided: nothing complete": study_record([result(arm(8), None, Status.FAILED, "diverged")], base_loss=None),
    "undecided: every rank failed": certified_record(
        {}, failures={2: (Status.FAILED, "diverged"), 4: (Status.FAILED, "diverged")}
    ),
}


def written(record: StudyRecord) -> dict[str, Any]:
    return verdict_json(record, conclude(record), CREATED)


def test_schema_is_one() -> None:
    Draft202012Validator.check_schema(verdict_schema())


OF_ARMS = {"cost", "arm"}
"""What only a ladder of arms has (tests/verdict/test_arm_ladders.py)."""

RUNG_OF_ARMS = {"arm", "method", "cost", "cost_before", "gap_to_full", "trainable_fraction"}


@pytest.mark.parametrize("name", RECORDS)
def test_file_is_valid_against_the_schema(name: str) -> None:
    found = written(RECORDS[name])
    assert [error.message for error in VALIDATOR.iter_errors(found)] == []
    assert found["status"] == name.partition(":")[0]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("name", RECORDS)
def test_schema_knows_every_key_that_is_written(name: str) -> None:
    found, schema = written(RECORDS[name]), verdict_schema()
    assert set(found) == set(schema["properties"]) - OF_ARMS
    for rank in found["ladder"]:
        assert set(rank) == set(schema["$defs"]["rung"]["properties"]) - RUNG_OF_ARMS
    for scores in found["test"].values():
        assert set(scores) == set(schema["$defs"]["scores"]["properties"])
    for kind in (*found["kinds"], *found["kinds_on_test"], *found["weak_kinds"]):
        assert set(kind) == set(schema["$defs"]["kind"]["properties"])


@pytest.mark.parametrize(
    "change",
    [
        {"status": "sure"},
        {"rank": None},
        {"rank": 8.5},
        {"bracket": [2, 4, 8]},
        {"reasons": "none"},
        {"created": None},
        {"ladder": [{}]},
        {"test": {"winner": {}}},
        {"schema": 2},
    ],
)
def test_schema_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**written(RECORDS["certified"]), **change})


def test_same_record_gives_the_same_but_for_the_time() -> None:
    record = RECORDS["certified"]
    first, second = (json.dumps(verdict_json(record, conclude(record), created)) for created in (CREATED, "2027-01-01"))
    assert first.replace(CREATED, "2027-01-01") == second


def test_ladder_has_evaluation_and_costs_of_each_rank() -> None:
    ladder = written(RECORDS["certified"])["ladder"]
    assert [(rank["rank"], rank["state"], rank["seeds"]) for rank in ladder] == [
        (2, "inferior", 3),
        (4, "inferior", 3),
        (8, "certified", 3),
        (16, "certified", 3),
        (32, "certified", 3),
    ]
    assert [rank["mean"] for rank in ladder] == pytest.approx([0.45, 0.36, 0.30, 0.30, 0.30])
    assert [rank["diff_to_best"] for rank in ladder] == pytest.approx([0.15, 0.06, 0, 0, 0])
    eight = ladder[2]
    assert eight["upper_bound"] < 0.037
    assert eight["metrics"] == {"accuracy": pytest.approx(0.89)}
    assert (eight["adapter_bytes"], eight["trainable_parameters"]) == (800_000, 200_000)
    assert (eight["peak_memory_bytes"], eight["train_seconds"]) == (900_000_008, 20.0)


def test_mean_is_of_what_the_verdict_is_about() -> None:
    four = written(RECORDS["certified: on the metric"])["ladder"][1]
    assert four["mean"] == pytest.approx(1 - 0.878)
    assert four["loss"] == pytest.approx(0.36)


def test_adapter_is_that_of_the_certified_rank() -> None:
    found = written(RECORDS["certified"])
    assert found["adapter_config"]["r"] == found["rank"] == 8
    questions = found["forgetting"].pop("questions")
    assert found["forgetting"] == {"loss_delta": 0.25, "general_loss": 3.1}
    assert (questions["questions"], questions["right"], questions["before"], questions["change"]) == (4, 2, 3, -0.25)
    assert -1 <= questions["low"] < -0.25 < questions["high"] <= 1
    assert found["versions"] == {"torch": "2.13.0"}


def test_test_scores_are_keyed_by_role() -> None:
    tested = written(RECORDS["certified"])["test"]
    assert {name: scores["rank"] for name, scores in tested.items()} == {"base": 0, "goldilocks": 8, "largest": 32}
    assert {scores["split"] for scores in tested.values()} == {"test"}
    assert tested["goldilocks"]["metrics"] == {"accuracy": pytest.approx(0.89)}
    assert written(RECORDS["provisional"])["test"] == {}
    assert written(RECORDS["undecided"])["test"]["goldilocks"]["rank"] == 8


def test_trials_of_all_stages_are_counted() -> None:
    counted = written(RECORDS["certified"])["trials"]
    # explored: 5 ranks; 15 rates; 5 ranks with 3 seeds, and 3 that did not fit
    assert counted == {"complete": 5 + 15 + 15, "pruned": 0, "failed": 0, "infeasible": 3, "interrupted": 0}


def test_ranks_that_were_not_compared_are_named() -> None:
    assert written(RECORDS["certified"])["left_out"] == [
        {"rank": 64, "status": "infeasible", "reason": "out of memory"}
    ]
    assert (
        "Rank 2 could not be compared (failed: diverged)."
        in written(RECORDS["undecided: every rank failed"])["reasons"]
    )


def test_settling_command_is_included() -> None:
    found = written(certified_record(seed_noise=0.02))
    assert found["settle"]["command"].endswith(f"certify.seeds={found['seeds_needed']}")
    assert written(RECORDS["certified"])["settle"] is None


def test_margin_is_what_was_declared_first() -> None:
    found = written(RECORDS["provisional: margin changed"])
    assert (found["margin"], found["margin_of"], found["alpha"]) == (0.01, "gain", 0.05)


def test_bounds_that_are_not_known_are_null() -> None:
    record = replace(certified_record(seeds=1))
    assert {rank["upper_bound"] for rank in written(record)["ladder"]} == {None}
