"""The experiment on forgetting: its rows, and the table and picture of made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.forgetting.experiment import TAKEN_BACK, missing, plan_of, rows
from benchmarks.forgetting.summary import cells, draw, forgetting_table


def row(method: str, way: str, seed: int, gain: float, rise: float, kept: int | None = None) -> dict[str, Any]:
    figures = {"loss": 3.0 - gain, "gain": gain, "forgetting": rise, "low": rise - 0.1, "high": rise + 0.1}
    return {
        "method": method,
        "way": way,
        "seed": seed,
        **figures,
        "steps": 30,
        "kept_step": kept,
    }


RESULT = {
    "model": "a model",
    "data": "boxes",
    "steps": 40,
    "batch": 4,
    "rows": [
        row("LoRA, rank 8", "none", 1, 2.2, 0.5),
        row("LoRA, rank 8", "none", 0, 2.0, 0.3),
        row("LoRA, rank 8", "early stopping", 0, 1.9, 0.1, kept=20),
        row("LoRA, rank 8", "early stopping", 1, 2.3, 0.1, kept=25),
    ],
}


@pytest.mark.slow
def test_every_combination_is_a_plan_with_its_rate_taken_back() -> None:
    plans = {(each.method, each.way): plan_of(each, 1) for each in rows()}
    assert len(plans) == 19
    assert ("full", "alpha / 4") not in plans
    for (_, way), plan in plans.items():
        training = plan.training
        assert plan.seed == 1
        assert bool(training.replay) == (way == "replay 25 %")
        assert bool(training.early_stopping) == (way == "early stopping")
        if way == "decay to base":
            assert training.decay_to_base * plan.arm.learning_rate == pytest.approx(TAKEN_BACK, rel=0.03)
    alphas = {way: plan.arm.alpha_ratio for (method, way), plan in plans.items() if method == "LoRA, rank 8"}
    assert alphas["alpha / 4"] == alphas["none"] / 4


def test_what_is_measured_is_not_measured_again_and_groups_stay_together() -> None:
    everything = missing([], 2)
    assert len(everything) == 38
    assert [seed for _, seed in everything] == [0] * 19 + [1] * 19
    groups = [each.group for each, seed in everything if seed == 0]
    assert len({*groups}) == sum(one != other for one, other in zip(groups, [None, *groups], strict=False))
    first, seed = everything[0]
    assert missing([(first.method, first.way, seed)], 2) == everything[1:]


def test_the_table_shows_means_and_what_is_left_of_both() -> None:
    assert [each["seed"] for each in cells(RESULT)["LoRA, rank 8", "none"]] == [0, 1]
    text = forgetting_table(RESULT, "a processor")
    assert "| LoRA, rank 8 | none | 0.900 | 2.100 | +0.400 (+0.200 to +0.600) |  | 30, 30 |" in text
    assert "| early stopping | 0.900 | 2.100 | +0.100 (+0.000 to +0.200) | 100%, 25% | 20 of 30, 25 of 30 |" in text
    assert "Means of 2 seeds" in text


def test_the_picture_is_the_same_for_the_same_results(tmp_path: Path) -> None:
    for name in ("one", "other"):
        draw(RESULT, tmp_path / f"{name}.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert "early stopping" in (tmp_path / "one.svg").read_text()
