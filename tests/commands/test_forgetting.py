"""A limit of forgetting from the command line: a study that keeps it, one that cannot, and a change of mind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.commands.test_certify import SMALL, verdict
from tests.faults.conftest import Sweep, sweep

__all__ = ["sweep"]  # the fixture

LADDER = (*SMALL, "certify.ladder=[2,4]", "certify.seeds=3", "evaluate.general_paragraphs=8", "task.max_length=1000")


def measures(made: Sweep) -> list[dict[str, Any]]:
    return [json.loads(file.read_text())["measures"] for file in made.trial_results()]


@pytest.mark.slow
def test_a_study_with_a_limit(sweep: Sweep) -> None:
    done = sweep.run_here(*LADDER, "certify.max_forgetting=50")
    assert done.returncode == 0, done.stdout
    written = verdict(sweep)
    assert written["max_forgetting"] == 50
    assert {rung["forgetting_test"]["state"] for rung in written["ladder"]} == {"below"}
    assert {len(each["general_right"]) for each in measures(sweep)} == {16, 48}, "every trial is asked, most on test"
    assert {len(each["prose_rises"]) for each in measures(sweep)} == {0, 8}, "the base's does not rise"
    named = {name for run in sweep.runs() for name in run.data.metrics}
    assert {"forgetting/general_accuracy", "forgetting/loss_delta"} <= named

    again = sweep.run_here(*LADDER, "certify.max_forgetting=0")
    assert again.returncode == 0, again.stdout
    later = verdict(sweep)
    assert later["max_forgetting"] == 50, "the first declaration counts"
    assert later["status"] in ("provisional", "undecided")
    assert "limit of forgetting was changed" in " ".join(later["reasons"])


@pytest.mark.slow
def test_no_rank_is_certified_that_is_not_shown_to_keep_the_limit(sweep: Sweep) -> None:
    done = sweep.run_here(*LADDER, "certify.max_forgetting=0", "certify.margin_of=loss", "certify.margin=0.9")
    assert done.returncode == 0, done.stdout
    for rung in verdict(sweep)["ladder"]:
        test = rung["forgetting_test"]
        assert (test["state"] == "below") == (test["upper"] < 0)
        assert rung["state"] != "certified" or test["state"] == "below"
