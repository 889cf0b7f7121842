"""What ticks do over simulated nights."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.gpus import Gpu
from sweep.nightly.night import Outcome
from sweep.nightly.open_nights import read, write
from sweep.nightly.room import Room
from sweep.nightly.schedule import Schedule
from sweep.nightly.studies import Progress, command_line, read_environment
from tests.nightly.made import moment, schedule
from tests.nightly.made_ticks import HOUR, Nights, nights, open_night

__all__ = ["nights"]  # the fixture


def test_a_study_goes_on_the_next_night_until_it_is_done(nights: Nights) -> None:
    nights.add("a", trials=4, seconds=1.6 * HOUR, since=moment("2026-11-20 12:00"))
    assert nights.tick("2026-11-21 01:00") == 0
    assert nights.recorded("a") == []
    assert nights.tick("2026-11-21 02:00") == 0
    assert nights.nights("a") == [("2026-11-21", "unfinished", 2)]
    assert nights.tick("2026-11-21 07:00") == 0  # nothing is due any more
    assert nights.tick("2026-11-22 02:00") == 0
    assert nights.nights("a")[1:] == [("2026-11-22", "done", 2)]
    assert [night.date for night in nights.told] == ["2026-11-21", "2026-11-22"]
    assert read(nights.paths) == []


def test_a_study_that_raises_what_nobody_expects_stops_no_other(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60, since=moment("2026-11-20 12:00"))
    nights.add("b", trials=1, seconds=60, since=moment("2026-11-20 12:00"))
    nights.broken = {"a"}
    assert nights.tick("2026-11-21 02:00") == 4
    (failed,) = nights.recorded("a")
    assert (failed.outcome, "Expecting value" in failed.reason) == (Outcome.FAILED, True)
    assert nights.nights("b") == [("2026-11-21", "done", 1)]
    assert {night.schedule for night in nights.told} == {"a", "b"}
    assert any("the morning note failed: KeyError" in line for line in nights.said)
    # also where a killed tick left the night open
    write(nights.paths, [open_night("a", moment("2026-11-21 01:00"))])
    assert nights.tick("2026-11-22 02:00") == 4
    assert read(nights.paths) == []
    nights.broken = set()
    assert nights.tick("2026-11-23 02:00") == 0
    assert nights.recorded("a")[-1].outcome is Outcome.DONE


def test_missed_nights_are_recorded_and_the_last_is_made_up_for(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60)
    nights.tick("2026-11-23 09:00")
    assert nights.nights("a") == [("2026-11-21", "missed", 0), ("2026-11-22", "missed", 0), ("2026-11-23", "done", 1)]
    assert [night.outcome for night in nights.told] == [Outcome.DONE]  # one note
    nights.tick("2026-11-23 10:00")
    assert len(nights.recorded("a")) == 3


@pytest.mark.slow
def test_studies_share_a_night(nights: Nights) -> None:
    nights.add("a", trials=99, seconds=0.5 * HOUR)
    nights.add("b", trials=2, seconds=0.2 * HOUR)
    nights.tick("2026-11-21 02:00")
    assert nights.nights("b") == [("2026-11-21", "done", 2)]
    # a had its half, b used little of the other, and a had the rest
    assert nights.turns == ["a", "b", "a"]
    (night,) = nights.recorded("a")
    assert (night.outcome, night.trained, night.seconds) == (Outcome.UNFINISHED, 8, pytest.approx(4 * HOUR))
    nights.studies["b"] = (99, 0.5 * HOUR, "")
    nights.turns.clear()
    nights.tick("2026-11-22 02:00")
    assert nights.turns[0] == "b"  # who had least lately


@pytest.mark.slow
def test_a_night_that_begins_meanwhile_has_its_share(nights: Nights) -> None:
    nights.add("a", trials=99, seconds=0.25 * HOUR)
    nights.add("late", trials=1, seconds=0.1 * HOUR, hours=schedule("04:00", "06:00").hours)
    nights.tick("2026-11-21 02:00")
    assert nights.nights("late")[-1] == ("2026-11-21", "done", 1)
    # until four, seven trials fit; then the new one goes first, as it had nothing yet, and nine more fit after it
    assert nights.turns == ["a", "late", "a"]
    assert nights.nights("a") == [("2026-11-21", "unfinished", 16)]


@pytest.mark.slow
def test_a_study_that_does_not_end_is_stopped_at_its_deadline(nights: Nights) -> None:
    nights.add("slow", trials=1, seconds=60, end="slow", hours=schedule("02:00", "03:00").hours)
    assert nights.tick("2026-11-21 02:00") == 0
    (night,) = nights.recorded("slow")
    assert (night.outcome, night.exit_code) == (Outcome.UNFINISHED, 130)
    assert night.reason.startswith("stopped at its deadline")


@pytest.mark.slow
def test_a_study_that_does_not_listen_is_killed(nights: Nights) -> None:
    nights.add("stubborn", trials=1, seconds=60, end="stubborn", hours=schedule("02:00", "03:00").hours)
    assert nights.tick("2026-11-21 02:00") == 0
    (night,) = nights.recorded("stubborn")
    assert (night.outcome, night.exit_code) == (Outcome.UNFINISHED, None)
    assert "SIGTERM" in night.reason
    assert night.ended <= moment("2026-11-21 03:10")


def test_a_failed_study_says_why(nights: Nights) -> None:
    nights.add("broken", trials=1, seconds=60, end="failed")
    assert nights.tick("2026-11-21 02:00") == 4
    (night,) = nights.recorded("broken")
    assert night.outcome is Outcome.FAILED
    assert "the data is gone" in night.reason
    assert nights.paths.night_log("broken", "2026-11-21").read_text().startswith("== ")


def test_without_room_nothing_is_started(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60, memory=8 * 10**9)
    nights.room = Room(memory=4 * 10**9, disk=10**12)
    assert nights.tick("2026-11-21 02:00") == 3
    (night,) = nights.recorded("a")
    assert (night.outcome, night.exit_code, nights.turns) == (Outcome.SKIPPED, None, [])
    assert "4.0 GB of memory are free" in night.reason


def test_an_error_of_ours_is_the_reason_in_its_own_words(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60, end="explained")
    assert nights.tick("2026-11-21 02:00") == nights.tick("2026-11-22 02:00") == 4
    first, second = nights.recorded("a")
    assert (
        first.reason
        == second.reason
        == ("the study ended with exit code 4: no trial is complete: r8-lr1e-03-s0: failed: made up")
    )
    assert not nights.paths.night_error.exists()


def test_a_night_whose_records_could_not_be_read_at_first_has_its_verdict(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is away when the night begins: its trials are counted, and its verdict is read."""
    nights.add("a", trials=2, seconds=60)
    progress, asked = nights._progress, []

    def away_at_first(made: Schedule) -> Progress:
        asked.append(made.name)
        nights.paths.verdict("a").parent.mkdir(parents=True, exist_ok=True)
        nights.paths.verdict("a").write_text('{"status": "certified"}')
        return Progress(None) if len(asked) == 1 else progress(made)

    monkeypatch.setattr(nights, "_progress", away_at_first)
    assert nights.tick("2026-11-21 02:00") == 0
    (night,) = nights.recorded("a")
    assert (night.outcome, night.trained, night.before) == (Outcome.DONE, 2, None)
    assert night.verdict == {"status": "certified"}


def test_without_its_gpu_nothing_is_started(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60, gpu_memory=40 * 10**9)
    assert nights.tick("2026-11-21 02:00") == 3
    (night,) = nights.recorded("a")
    assert (night.outcome, nights.turns) == (Outcome.SKIPPED, [])
    assert "no GPU can be used" in night.reason
    nights.room = Room(10**12, 10**12, (Gpu("made up", 80 * 10**9, 60 * 10**9, (9, 0)),))
    assert nights.tick("2026-11-22 02:00") == 0
    assert nights.nights("a")[-1] == ("2026-11-22", "done", 1)


def test_trials_are_counted_where_the_database_was_away_at_first(nights: Nights) -> None:
    nights.add("a", trials=3, seconds=2 * HOUR)
    nights.tick("2026-11-21 02:00")
    nights.unreadable = 1
    nights.tick("2026-11-22 02:00")
    nights.tick("2026-11-23 02:00")
    assert [trained for *_, trained in nights.nights("a")] == [2, 1, 0]


def test_run_now_without_a_turn_leaves_the_night_as_it_is(nights: Nights) -> None:
    nights.add("a", trials=2, seconds=60)
    nights.tick("2026-11-21 02:00")
    (before,) = nights.recorded("a")
    nights.tick("2026-11-22 01:59", only="a")
    assert nights.recorded("a") == [before]
    nights.stop_at = moment("2026-11-21 15:00")
    assert nights.tick("2026-11-21 15:00", only="a") == 130
    assert nights.recorded("a") == [before]


def test_a_night_whose_time_goes_by_while_its_study_is_read_is_recorded(nights: Nights) -> None:
    """As with a database that does not answer."""
    nights.add("a", trials=1, seconds=60)
    nights.reading = 150.0
    assert nights.tick("2026-11-21 06:27") == 0
    (night,) = nights.recorded("a")
    assert (night.outcome, night.reason, nights.turns) == (Outcome.UNFINISHED, "no time was left for it", [])


@pytest.mark.slow
def test_run_now_continues_the_record_of_its_night(nights: Nights) -> None:
    nights.add("a", trials=4, seconds=1.6 * HOUR, hours=schedule("02:00", "04:30").hours)
    nights.tick("2026-11-21 02:00")
    assert nights.nights("a") == [("2026-11-21", "unfinished", 1)]
    nights.tick("2026-11-21 15:00", only="a")
    (night,) = nights.recorded("a")
    assert (night.trained, night.started) == (2, moment("2026-11-21 02:00"))
    assert night.seconds == pytest.approx(3.2 * HOUR)


def test_a_schedule_that_cannot_be_read_holds_up_no_other(nights: Nights) -> None:
    nights.add("a", trials=1, seconds=60)
    nights.paths.schedule("bad").write_text("{}")
    assert nights.tick("2026-11-21 02:00") == 2
    assert nights.nights("a") == [("2026-11-21", "done", 1)]
    assert any("bad.json: cannot be used" in line for line in nights.said)


def test_the_smaller_budget_counts(nights: Nights) -> None:
    made = schedule(words=("+study=pharma", "budget.wall_clock=30m"))
    assert command_line(made, 7200.0)[1:] == ["-m", "sweep", "+study=pharma", "budget.wall_clock=1800s"]
    assert command_line(made, 600.0)[-1] == "budget.wall_clock=600s"


def test_an_environment_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "night.env").write_text("# secrets\nexport A_TOKEN='a b'\nB=$A_TOKEN\n")
    assert read_environment("night.env", tmp_path) == {"A_TOKEN": "a b", "B": "$A_TOKEN"}
