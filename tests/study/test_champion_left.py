"""MLflow and the history of a champion, where a call cannot record everything: the next one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.records.champion import ChampionEvent
from sweep.study import champion_recording
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.port import SweepRun
from tests.study.test_champion_recording import MODEL, Study


class Faulty(MemoryTracker):
    """A store that is away when it is opened, or refuses to register."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = self.refuses = False

    @property
    def refused_registration(self) -> bool:
        return self.refuses

    def end_left(self, sweep: SweepRun) -> bool:
        return not self.is_away and super().end_left(sweep)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """What every call opens."""
    tracker = Faulty()
    monkeypatch.setattr(champion_recording, "open_tracker", lambda *arguments: tracker)
    return tracker


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    return Study(tmp_path)


def test_a_registration_that_was_refused_is_tried_again(study: Study, faulty: Faulty) -> None:
    study.add(ChampionEvent.VERDICT)
    faulty.refuses = True
    study.recording.bring_up_to_date(dict, alone=True)
    assert study.recording.is_behind(alone=True)
    study.recording.finish(faulty, study.recording.register(faulty))
    assert study.recording.is_behind(alone=True), "also where a sweep or a refresh registers it"
    faulty.refuses = False
    study.recording.bring_up_to_date(dict, alone=True)
    assert not study.recording.is_behind(alone=True)


def test_a_run_that_could_not_be_ended_is_ended_by_the_next_call(study: Study, faulty: Faulty) -> None:
    """A refresh was killed, and the server is away when the next call begins, but back before that ends."""
    study.add(ChampionEvent.VERDICT)
    study.recording.begin()
    left = faulty.open_sweep(SweepRun("s", ""))
    faulty.runs[left].tags["sweep.owner"] = "elsewhere:1"
    faulty.is_away = True
    study.recording.bring_up_to_date(dict, alone=True)
    assert faulty.aliases == {MODEL: {"champion": "trial1"}}
    faulty.is_away = False
    study.recording.bring_up_to_date(dict, alone=True)
    assert faulty.runs[left].status == "KILLED"
    assert not study.recording.is_behind(alone=True)


def test_what_a_running_refresh_registers_is_left_to_it(study: Study, faulty: Faulty) -> None:
    """Two that look for a version and find none make two of one trial."""
    study.add(ChampionEvent.VERDICT)
    study.recording.bring_up_to_date(dict, alone=True)
    study.recording.begin()
    study.add(ChampionEvent.PROMOTION)
    study.recording.bring_up_to_date(dict, alone=False)
    assert faulty.aliases == {MODEL: {"champion": "trial1"}}
    study.add(ChampionEvent.ROLLBACK, 1)
    study.recording.bring_up_to_date(dict, alone=False)
    assert faulty.aliases == {MODEL: {"champion": "trial1"}}
    assert [each.trial for each in faulty.champions[MODEL]] == ["trial1"]
    assert faulty.champions[MODEL][0].tags["sweep.champion.event"] == "rollback", "it follows at once"
    assert study.recording.is_behind(alone=False), "the refresh may set the alias after that"
    study.recording.bring_up_to_date(dict, alone=True)  # the refresh was killed
    assert [each.trial for each in faulty.champions[MODEL]] == ["trial1", "trial2"]
    assert faulty.aliases == {MODEL: {"champion": "trial1"}}
    assert not study.recording.is_behind(alone=True)


def test_a_version_that_is_taken_while_something_else_runs_is_registered(study: Study, faulty: Faulty) -> None:
    study.add(ChampionEvent.VERDICT)
    study.recording.bring_up_to_date(dict, alone=False)
    assert faulty.aliases == {MODEL: {"champion": "trial1"}}
    assert not study.recording.is_behind(alone=False)
