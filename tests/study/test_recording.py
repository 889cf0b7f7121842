"""The sweep's MLflow run agrees with the verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.commands.app import composed_plan
from sweep.study.recording import summary, sweep_run
from sweep.tracking.names import valid_tags
from sweep.verdict.conclude import conclude
from tests.conftest import arm, certified_record, result, study_record


def test_verdict_and_search_have_separate_metrics() -> None:
    record = certified_record()
    conclusion = conclude(record)
    assert conclusion is not None
    assert conclusion.rank == 8
    recorded = summary(record)
    assert recorded.metrics["verdict/rank"] == 8.0
    assert (recorded.metrics["verdict/bracket_low"], recorded.metrics["verdict/bracket_high"]) == conclusion.bracket
    assert recorded.metrics["verdict/margin"] == 0.01
    assert recorded.metrics["verdict/margin_in_loss"] == pytest.approx(conclusion.margin_in_loss)
    best = record.best()
    assert best is not None
    assert recorded.metrics["search/best_rank"] == best.rank
    assert {"search/best_loss", "search/best_accuracy", "base/loss", "base/accuracy", "trials/complete"} <= set(
        recorded.metrics
    )
    assert not [name for name in recorded.metrics if name.startswith("best/")]
    assert recorded.tags["sweep.verdict"] == conclusion.status
    assert recorded.tags["sweep.verdict.rank"] == "8"
    assert recorded.tags["sweep.verdict.findings"] == "none"
    assert recorded.tags["sweep.verdict.headline"] == conclusion.headline
    assert recorded.tags["mlflow.note.content"].startswith(conclusion.headline)
    assert valid_tags(recorded.tags) == recorded.tags


def test_a_study_that_was_only_searched_is_undecided() -> None:
    recorded = summary(study_record([result(arm(32), 0.3)]))
    assert recorded.metrics["search/best_rank"] == 32.0
    assert "verdict/rank" not in recorded.metrics
    assert recorded.tags["sweep.verdict"] == "undecided"
    assert recorded.tags["sweep.verdict.rank"] == "none"


def test_a_withdrawn_verdict_leaves_no_tag() -> None:
    decided = summary(certified_record())
    undecided = summary(replace(certified_record(), certification=None))
    assert decided.tags.keys() == undecided.tags.keys()


def test_params_of_the_sweep_hold_for_all_trials() -> None:
    plan = composed_plan(["model=tiny", "certify.ladder=[2,8]", "certify.margin=0.02"])
    study = sweep_run(plan, "0123", {})
    assert study.params["train.steps"] == "100"
    assert not [key for key in study.params | study.declared if key.startswith("lora.") or key == "train.learning_rate"]
    assert (study.declared["certify.ladder"], study.declared["certify.margin"]) == ("2,8", "0.02")
    single = sweep_run(plan, "single", {}, alone=False)
    assert (single.declared["lora.r"], single.declared["train.learning_rate"]) == ("16", "0.003")
    assert "certify.ladder" not in single.declared
    explored = sweep_run(composed_plan(["model=tiny", "certify.enabled=false"]), "0123", {})
    assert not explored.declared


def test_trials_of_several_methods_share_no_method() -> None:
    mixed = sweep_run(composed_plan(["search.space.method=[lora,dora]", "certify=none"]), "0123", {})
    assert "method.name" not in {**mixed.params, **mixed.declared}
    assert sweep_run(composed_plan(["certify=none"]), "0123", {}).params["method.name"] == "lora"
