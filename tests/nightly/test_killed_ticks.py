"""Ticks that are stopped or killed: the next one continues, and each night is accounted for once."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sweep.nightly.night import Night, Outcome
from sweep.nightly.open_nights import read, write
from sweep.nightly.room import Room
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load
from sweep.nightly.tick_lock import process_start
from tests.nightly.made import BERLIN, moment, schedule
from tests.nightly.made_ticks import HOUR, Crash, Nights, nights, open_night

__all__ = ["nights"]  # the fixture


@pytest.mark.slow
def test_a_stopped_tick_stops_its_study_and_leaves_the_others_open(nights: Nights) -> None:
    nights.add("slow", trials=1, seconds=60, end="slow")
    nights.add("waiting", trials=1, seconds=60)
    nights.stop_at = moment("2026-11-21 02:10")
    assert nights.tick("2026-11-21 02:00") == 130
    assert nights.nights("slow") == [("2026-11-21", "unfinished", 0)]
    assert nights.recorded("waiting") == []
    nights.stop_at = float("inf")
    nights.tick("2026-11-21 05:30")
    assert nights.nights("waiting") == [("2026-11-21", "done", 1)]


def test_a_night_of_a_killed_tick_goes_on_and_its_study_is_stopped_first(nights: Nights) -> None:
    nights.add("a", trials=3, seconds=60)
    (nights.paths.root.parent / "a.trials").write_text("1")
    file = nights.paths.root / "asked"
    waits = (
        f"import signal, sys, time; signal.signal(2, lambda *_: (open({str(file)!r}, 'w').close(), sys.exit())); "
        "print(flush=True); time.sleep(60)"
    )
    left = subprocess.Popen([sys.executable, "-S", "-c", waits], stdout=subprocess.PIPE)
    assert left.stdout is not None
    with left.stdout:
        left.stdout.readline()  # it listens
    start = moment("2026-11-21 02:00")
    begun = open_night("a", start)
    write(nights.paths, [replace(begun, process=left.pid, process_started=process_start(left.pid))])
    assert nights.tick("2026-11-21 03:00") == 0
    left.wait(timeout=60)
    assert file.exists()
    assert nights.nights("a") == [("2026-11-21", "done", 3)]


def test_a_night_of_a_killed_tick_that_is_over_is_recorded(nights: Nights) -> None:
    nights.add("a", trials=3, seconds=60)
    (nights.paths.root.parent / "a.trials").write_text("2")
    start = moment("2026-11-21 02:00")
    write(nights.paths, [open_night("a", start)])
    nights.tick("2026-11-21 09:00")
    assert nights.nights("a") == [("2026-11-21", "unfinished", 2)]
    assert len(nights.told) == 1


def test_a_killed_turn_counts_even_if_the_night_gets_no_other(nights: Nights) -> None:
    nights.add("a", trials=9, seconds=60, memory=8 * 10**9)
    (nights.paths.root.parent / "a.trials").write_text("4")
    begun = replace(open_night("a", moment("2026-11-21 02:00")), process=2**22 + 1, process_started="gone")
    write(nights.paths, [begun])
    nights.room = Room(memory=4 * 10**9, disk=10**12)
    assert nights.tick("2026-11-21 03:00") == 3
    (night,) = nights.recorded("a")
    assert (night.outcome, night.trained, nights.turns) == (Outcome.UNFINISHED, 4, [])


def test_a_night_that_is_stopped_while_it_is_taken_up_keeps_what_the_killed_turn_did(nights: Nights) -> None:
    nights.add("a", trials=9, seconds=60)
    (nights.paths.root.parent / "a.trials").write_text("4")
    begun = replace(open_night("a", moment("2026-11-21 02:00")), process=2**22 + 1, process_started="gone")
    write(nights.paths, [begun])
    nights.stop_at = moment("2026-11-21 03:00")
    assert nights.tick("2026-11-21 03:00") == 130
    (night,) = nights.recorded("a")
    assert (night.outcome, night.trained) == (Outcome.UNFINISHED, 4)
    assert "killed in this night" in night.reason


def test_other_nights_of_a_killed_tick_wait_while_one_is_run_now(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60)
    nights.add("b", trials=1, seconds=60)
    begun = open_night("b", moment("2026-11-21 02:00"))
    begun.set(seconds=600.0)
    write(nights.paths, [begun])
    nights.tick("2026-11-21 03:00", only="a")
    assert (nights.turns, [night.schedule for night in read(nights.paths)]) == (["a"], ["b"])
    nights.tick("2026-11-21 04:00")
    assert nights.nights("b") == [("2026-11-21", "done", 1)]
    assert nights.recorded("b")[0].seconds == 660.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_two_weeks_with_crashes_are_all_accounted_for(nights: Nights, seed: int) -> None:
    """Ticks at any time, some of which are cut off: each night is recorded once, and no trial is lost or counted twice."""
    chance = random.Random(seed)
    nights.add("a", trials=10**6, seconds=0.4 * HOUR)
    nights.add("b", trials=40, seconds=0.3 * HOUR, hours=schedule("23:30", "05:00").hours)

    def maybe() -> None:
        if chance.random() < 0.05:
            raise Crash

    now = moment("2026-11-20 13:00")
    while now < moment("2026-12-06 12:00"):
        try:
            nights.tick(datetime.fromtimestamp(now, ZoneInfo(BERLIN)).replace(tzinfo=None).isoformat(), alive=maybe)
        except Crash:
            nights.said.append("crash")
        now = max(now, float((nights.paths.root.parent / "now").read_text())) + chance.choice(
            (600, 3 * HOUR, 20 * HOUR)
        )
    nights.tick("2026-12-07 12:00")
    assert "crash" in nights.said
    assert read(nights.paths) == []
    for name, first in {"a": date(2026, 11, 21), "b": date(2026, 11, 20)}.items():
        recorded = nights.recorded(name)
        last = load(nights.paths, name).hours.latest(moment("2026-12-07 12:00"))
        assert [night.date for night in recorded] == [
            str(first + timedelta(days=day)) for day in range((last - first).days + 1)
        ]
        # each trial is counted in the night that completed it
        trials = int((nights.paths.root.parent / f"{name}.trials").read_text())
        assert sum(night.trained for night in recorded) == trials
        assert all(night.ended >= night.started for night in recorded)


def test_missed_nights_are_told_by_the_tick_after_one_that_was_killed(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.add("a", trials=1, seconds=60, catch_up=False)
    told = nights._after

    def killed(night: Night, of: Schedule) -> None:
        raise Crash

    monkeypatch.setattr(nights, "_after", killed)
    with pytest.raises(Crash):
        nights.tick("2026-11-21 09:00")
    assert nights.nights("a") == [("2026-11-21", "missed", 0)]
    monkeypatch.setattr(nights, "_after", told)
    nights.tick("2026-11-21 10:00")
    assert [(night.date, night.outcome) for night in nights.told] == [("2026-11-21", Outcome.MISSED)]
    assert read(nights.paths) == []
