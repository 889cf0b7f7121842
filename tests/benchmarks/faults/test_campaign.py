"""What is drawn for a campaign, and a few real faults of different kinds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.faults.campaign import planned, run
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.moments import drawn
from benchmarks.faults.reference import Reference

SAMPLE = (
    "kill-all",
    "sigterm",
    "suspend",
    "result-missing",
    "manifest-flipped",
    "data-form",
    "dev-full",
)
"""Kinds that take little time; mistakes in configuration and data have tests of their own."""


def test_all_kinds_take_turns_and_a_seed_gives_the_same_again() -> None:
    kinds = list(KINDS.values())
    faults = list(planned(kinds, 2 * len(kinds) + 3, seed=4))
    assert faults == list(planned(kinds, 2 * len(kinds) + 3, seed=4))
    assert [kind for kind, _ in faults] != [kind for kind, _ in planned(kinds, len(faults), seed=5)]
    counts = Counter(kind.name for kind, _ in faults)
    assert set(counts.values()) == {2, 3}
    assert len({(kind.name, seed) for kind, seed in faults}) == len(faults), "no fault is injected twice"
    assert {seed for _, seed in faults} == {4000, 4001, 4002}


def test_instants_are_spread_over_what_the_study_does() -> None:
    timeline = [0.0, 8.0, 8.5, 9.5, 10.0]
    moments = [drawn(Random(seed), timeline) for seed in range(400)]
    counts = Counter(moment.lines for moment in moments)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 60, "loading takes most of the time and gets no more than its share of the instants"
    assert all(moment.seconds <= timeline[moment.lines + 1] - timeline[moment.lines] for moment in moments)
    assert drawn(Random(3), timeline) == drawn(Random(3), timeline)


@pytest.mark.slow
def test_a_sample_of_the_campaign_passes(tmp_path: Path) -> None:
    names: list[str] = []
    faults = [(KINDS[name], 7) for name in SAMPLE]
    outcomes = run(faults, Reference(tmp_path), tmp_path, 1, None, lambda outcome: names.append(outcome.name))
    assert names == [f"{name}:7" for name in SAMPLE]
    failed = {outcome.name: (outcome.drawn, outcome.violations) for outcome in outcomes if outcome.violations}
    assert not failed
