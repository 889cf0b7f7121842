"""Nights of data that change: what became of the champion, and what was trained for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.kinds.kind import registration
from sweep.nightly.night import Outcome
from sweep.nightly.schedule import Schedule, as_json, from_json
from sweep.nightly.studies import command_line
from sweep.records.champion import ChampionEvent
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from tests.nightly.made import schedule
from tests.nightly.made_ticks import Nights, nights
from tests.store.test_champions import ROWS, adapter_in, entry
from tests.store.test_drift import POINT

__all__ = ["nights"]  # the fixture


def test_data_that_change_are_refreshed() -> None:
    made = replace(schedule(words=("+study=pharma",)), refresh=True)
    assert command_line(made, 600.0)[1:] == ["-m", "sweep.refresh", "+study=pharma", "budget.wall_clock=600s"]
    assert from_json(as_json(made)) == made
    assert "refresh=true" in registration(made)


def test_a_night_says_what_it_did_to_the_champion(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.add("a", trials=1, seconds=60, refresh=True)
    (nights.paths.root.parent / "a.trials").write_text("1")
    adapter, history = adapter_in(nights.paths.root / "adapter"), Champions(nights.paths, "a")
    history.append(entry(1, ChampionEvent.VERDICT), adapter=adapter, rows=ROWS)
    command = nights._command

    def promoting(made: Schedule, budget: float) -> Sequence[str]:
        if len(history.entries()) == 1:
            DriftLog(nights.paths.drift("a")).add(POINT)
            history.append(entry(2, ChampionEvent.PROMOTION), adapter=adapter, rows=ROWS)
        return command(made, budget)

    monkeypatch.setattr(nights, "_command", promoting)
    assert nights.tick("2026-11-21 02:00") == 0
    found = nights.recorded("a")[0].champion
    nights.tick("2026-11-21 15:00", only="a")  # the rest of that night finds nothing, and keeps what was found
    assert nights.recorded("a")[0].champion == found
    assert nights.tick("2026-11-22 02:00") == 0
    first, second = nights.recorded("a")
    assert (first.outcome, first.trained, first.reason) == (Outcome.DONE, 0, "")
    assert first.champion is not None
    assert first.champion.words == (
        "the champion is worse on the changed data (train: 1 added); promotion, version 2 is in use: made up"
    )
    assert (second.outcome, second.champion) == (Outcome.DONE, ChampionNews(version=2))


@pytest.mark.parametrize(
    ("end", "outcome"), [("failed", Outcome.FAILED), pytest.param("slow", Outcome.UNFINISHED, marks=pytest.mark.slow)]
)
def test_a_night_without_an_answer_counts_the_challengers_that_it_trained(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, end: str, outcome: Outcome
) -> None:
    nights.add("a", trials=1, seconds=60, end=end, refresh=True, hours=schedule("02:00", "03:00").hours)
    history = Champions(nights.paths, "a")
    history.append(entry(1, ChampionEvent.VERDICT), adapter=adapter_in(nights.paths.root / "adapter"), rows=ROWS)
    steps, command = RefreshLog(nights.paths.refresh_log("a")), nights._command
    steps.add(RefreshEvent.TRAINED, "of an earlier night", "z")
    drift = DriftLog(nights.paths.drift("a"))

    def training(made: Schedule, budget: float) -> Sequence[str]:
        drift.add(POINT)
        steps.add(RefreshEvent.TRAINED, POINT.data_hash, f"of trial {len(steps.adapters)}", 60.0)
        return command(made, budget)

    monkeypatch.setattr(nights, "_command", training)
    nights.tick("2026-11-21 02:00")
    nights.tick("2026-11-22 02:00")
    found = ChampionNews(version=1, condition="worse", change="train: 1 added")
    # the second night scores nothing: it continues where the first one had scored the champion
    assert [(night.outcome, night.trained, night.champion) for night in nights.recorded("a")] == [
        (outcome, 1, found),
        (outcome, 1, found),
    ]
