"""What seeds can decide, and the noise that earlier trials have shown."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.planning.decision import decision_of, noise_of
from sweep.commands.planning.recorded import TimedTrial
from sweep.commands.planning.tables import decision_lines
from sweep.records import Arm, Provenance, Split, Stage, StudyPlan
from tests.conftest import arm, measures, result


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@cache
def plan(*overrides: str) -> StudyPlan:
    return composed_plan(["task=pharma", "model=tiny", "train.steps=100", *overrides])


def on_certify(recipe: Arm | None, loss: float, seed: int, data: str = "d") -> TimedTrial:
    plain = result(recipe, loss)
    spec = replace(plain.spec, split=Split.CERTIFY, stage=Stage.BASE if recipe is None else Stage.CERTIFY, seed=seed)
    spec = replace(spec, training=replace(spec.training, steps=100))
    provenance = Provenance({}, "cpu", "made", "b", data, 1)
    return TimedTrial("", (), replace(plain, spec=spec, measures=measures(loss), provenance=provenance), "nf4")


SEEN = [on_certify(None, 3.0, 0), *(on_certify(arm(8), loss, seed) for seed, loss in enumerate((0.9, 1.0, 1.1)))]


def test_the_margin_in_standard_deviations_between_seeds() -> None:
    noise = noise_of(plan("certify.margin=0.1"), SEEN, "d")
    assert noise is not None
    assert noise.seed_sd == pytest.approx(0.1)
    assert noise.margin == pytest.approx(0.1 * 2.0)
    assert noise.margin_in_sd == pytest.approx(2.0)


def test_other_data_and_single_seeds_say_nothing() -> None:
    assert noise_of(plan(), SEEN, "other") is None
    assert noise_of(plan(), SEEN[:2], "d") is None
    assert noise_of(plan(), SEEN[1:], "d") is None
    assert noise_of(plan("certify.margin_of=metric"), SEEN, "d") is None


def test_a_cut_ladder_is_decided_by_what_cuts_lose() -> None:
    decision = decision_of(plan("certify.seeds=3"), (), "d")
    assert decision is not None
    assert (decision.cut, decision.looks, decision.simulated) == (True, (3,), (3,))
    assert decision.enough() == 0.4
    assert "if it loses at most 0.4 of the margin (margin: 2 % of the gain)" in " ".join(
        decision_lines(plan(), decision)
    )


def test_a_noisy_trained_ladder_is_told_what_would_help() -> None:
    asked = plan("certify=train", "certify.seeds=3", "certify.margin=0.1")
    decision = decision_of(asked, SEEN, "d")
    assert decision is not None
    chance = decision.chance()
    assert chance is not None
    assert chance < 0.3
    words = " ".join(decision_lines(asked, decision))
    assert "2.0 standard deviations between seeds" in words
    assert "certify.margin=0." in words
    assert "certify.seeds=6" in words


def test_without_a_verdict_nothing_is_decided() -> None:
    assert decision_of(plan("certify=none"), (), "d") is None
