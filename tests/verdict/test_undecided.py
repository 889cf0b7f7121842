"""verdict.json after `explore` alone: all fields of the contract, and no rank certified whatever the losses are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import Status, StudyRecord
from sweep.verdict.conclude import conclude
from sweep.verdict.verdict_json import verdict_json
from tests.conftest import arm, result, study_record

FIELDS = [
    "study",
    "model",
    "task",
    "created",
    "schema",
    "status",
    "rank",
    "bracket",
    "margin",
    "alpha",
    "primary_metric",
    "reasons",
    "ladder",
    "test",
    "forgetting",
    "trials",
    "adapter_config",
    "seeds_needed",
    "versions",
    "data_hash",
    "config_hash",
]
RANK_FIELDS = [
    "rank",
    "state",
    "seeds",
    "mean",
    "diff_to_best",
    "upper_bound",
    "adapter_bytes",
    "trainable_parameters",
    "peak_memory_bytes",
    "train_seconds",
    "metrics",
]
CREATED = "2026-01-31T12:00:00+00:00"

RECORD = study_record(
    [
        result(arm(8), 0.5),
        result(arm(8), 0.4),
        result(arm(32), 0.3),
        result(arm(16), 0.3),
        result(arm(4), None, Status.PRUNED, "trailed arms of rank 4"),
        result(arm(64), None, Status.INFEASIBLE, "out of memory"),
        result(arm(2), None, Status.FAILED, "diverged"),
    ]
)


def undecided(record: StudyRecord, created: str) -> dict[str, Any]:
    conclusion = conclude(record)
    assert conclusion is None
    return verdict_json(record, conclusion, created)


VERDICT = undecided(RECORD, CREATED)


@pytest.mark.parametrize("field", FIELDS)
def test_contract_has_the_field(field: str) -> None:
    assert field in VERDICT


@pytest.mark.parametrize("field", RANK_FIELDS)
def test_each_rank_has_the_field(field: str) -> None:
    assert VERDICT["ladder"]
    assert all(field in rank for rank in VERDICT["ladder"])


def test_says_what_the_study_was_about() -> None:
    told = {key: VERDICT[key] for key in ("study", "model", "task", "created", "schema", "primary_metric", "data_hash")}
    assert told == {
        "study": "made",
        "model": "tiny",
        "task": "boxes",
        "created": CREATED,
        "schema": 1,
        "primary_metric": "accuracy",
        "data_hash": "datahash",
    }
    assert (VERDICT["margin"], VERDICT["margin_of"], VERDICT["alpha"]) == (0.01, "gain", 0.05)
    assert VERDICT["versions"] == {"torch": "2.13.0"}


def test_each_rank_has_its_best_recipe() -> None:
    assert [(rank["rank"], rank["mean"]) for rank in VERDICT["ladder"]] == [(8, 0.4), (16, 0.3), (32, 0.3)]
    assert [rank["diff_to_best"] for rank in VERDICT["ladder"]] == pytest.approx([0.1, 0.0, 0.0])
    assert VERDICT["bracket"] == [8, 32]


def test_of_equal_losses_the_smaller_rank_is_the_adapter() -> None:
    assert VERDICT["adapter_config"] == {
        "r": 16,
        "lora_alpha": 32.0,
        "lora_dropout": 0.0,
        "target_modules": ["q_proj", "v_proj"],
        "use_rslora": False,
        "loraplus_lr_ratio": 1.0,
        "learning_rate": 2e-3,
        "seed": 0,
    }
    assert VERDICT["forgetting"] == {"loss_delta": 0.25, "general_loss": 3.1}


def test_every_way_to_end_is_counted() -> None:
    counted = undecided(replace(RECORD, interrupted=2), CREATED)["trials"]
    assert counted == {"complete": 4, "pruned": 1, "failed": 1, "infeasible": 1, "interrupted": 2}


def test_without_a_complete_trial_there_is_nothing_to_say() -> None:
    verdict = undecided(study_record([result(arm(4), None, Status.FAILED, "diverged")], base_loss=None), CREATED)
    assert (verdict["ladder"], verdict["bracket"], verdict["adapter_config"]) == ([], [], {})
    assert set(FIELDS) <= set(verdict)


@given(st.lists(st.tuples(st.sampled_from([2, 8, 32]), st.floats(0, 9)), min_size=1, max_size=8))
def test_nothing_is_certified_whatever_the_losses_are(trials: list[tuple[int, float]]) -> None:
    verdict = undecided(study_record([result(arm(rank), loss) for rank, loss in trials]), CREATED)
    assert (verdict["status"], verdict["rank"], verdict["seeds_needed"]) == ("undecided", None, None)
    assert verdict["reasons"]
    assert {rank["state"] for rank in verdict["ladder"]} == {"undecided"}
    assert [rank["rank"] for rank in verdict["ladder"]] == sorted({rank for rank, _ in trials})
    assert min(rank["diff_to_best"] for rank in verdict["ladder"]) == 0
    assert json.loads(json.dumps(verdict)) == verdict
