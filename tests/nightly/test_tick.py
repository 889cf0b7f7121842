"""Ticks over simulated nights. The studies are small real processes that count their trials and their time in files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sweep.config.gpus import Gpu
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.due import PlannedNight
from sweep.nightly.kinds.kind import registration
from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night, Outcome
from sweep.nightly.open_nights import OpenNight, read, write
from sweep.nightly.room import Room
from sweep.nightly.schedule import Schedule, as_json, from_json
from sweep.nightly.schedules import load, save
from sweep.nightly.studies import Progress, command_line, read_environment
from sweep.nightly.tick import Tick
from sweep.nightly.tick_lock import process_start
from sweep.nightly.turn import Machine
from sweep.records.champion import ChampionEvent
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from tests.nightly.made import BERLIN, moment, schedule
from tests.store.test_champions import ROWS, adapter_in, entry
from tests.store.test_drift import POINT

STUDY = """
import os, pathlib, signal, sys, time
name, budget, trials, seconds, end = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]

def take(seconds):
    time.sleep(0.002)
    pathlib.Path("now.new").write_text(str(float(pathlib.Path("now").read_text()) + seconds))
    os.replace("now.new", "now")

signal.signal(signal.SIGINT, signal.SIG_IGN if end == "stubborn" else lambda *_: sys.exit(130))
file = pathlib.Path(name + ".trials")
if end == "failed":
    sys.exit("the data is gone")
if end == "explained":
    print("trial 3 of 12", time.time())
    pathlib.Path(os.environ["GOLDILOCKS_ERROR_FILE"]).write_text("no trial is complete:\\n  r8-lr1e-03-s0: failed: made up")
    sys.exit(4)
while end in ("stubborn", "slow"):
    take(10)
while (done := int(file.read_text()) if file.exists() else 0) < trials and budget >= seconds:
    budget -= seconds
    take(seconds)
    pathlib.Path(name + ".new").write_text(str(done + 1))
    os.replace(name + ".new", file)
"""


class FileClock:
    """A clock that advances by what the studies say that they took, so that a busy machine changes nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> float:
        return float(self._file.read_text())

    def wait(self, seconds: float) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self._file.write_text(str(self.now() + seconds))


@dataclass
class Nights:
    """Ticks in a folder.

    Attributes:
        studies: by schedule: trials, seconds of one, and how it ends.
        told: the nights with a note.
        said: what ticks printed.
        stop_at: when the tick is asked to stop.
        turns: the schedules whose studies were started, in order.
    """

    paths: Paths
    studies: dict[str, tuple[int, float, str]] = field(default_factory=dict)
    told: list[Night] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    room: Room = field(default_factory=lambda: Room(10**12, 10**12))
    stop_at: float = float("inf")

    def add(self, name: str, trials: int, seconds: float, end: str = "", **changes: object) -> Schedule:
        made = schedule(**{"name": name, "study": name, **changes})  # type: ignore[arg-type]
        save(self.paths, made)
        self.studies[name] = (trials, seconds, end)
        return made

    def tick(self, at: str, only: str | None = None, alive: Callable[[], None] = lambda: None) -> int:
        file = self.paths.root.parent / "now"
        file.write_text(str(moment(at)))
        clock = FileClock(file)
        machine = Machine(
            self.paths,
            clock,
            self._progress,
            self._command,
            lambda: self.room,
            lambda: clock.now() >= self.stop_at,
            alive,
        )
        return Tick(machine, Ledger(self.paths.nights_database), self._after, self.said.append).run(only)

    def nights(self, name: str) -> list[tuple[str, str, int]]:
        return [(each.date, each.outcome.value, each.trained) for each in self.recorded(name)]

    def recorded(self, name: str) -> list[Night]:
        return Ledger(self.paths.nights_database).nights(name)

    def _after(self, night: Night, _: Schedule) -> None:
        self.told.append(night)

    def _progress(self, made: Schedule) -> Progress:
        file = self.paths.root.parent / f"{made.name}.trials"
        done = int(file.read_text()) if file.exists() else 0
        challengers = len(RefreshLog(self.paths.refresh_log(made.study)).adapters) if made.refresh else 0
        return Progress(done + challengers, done >= self.studies[made.name][0])

    def _command(self, made: Schedule, budget: float) -> Sequence[str]:
        self.turns.append(made.name)
        trials, seconds, end = self.studies[made.name]
        return [sys.executable, "-S", "-E", "-c", STUDY, made.name, str(budget), str(trials), str(seconds), end]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    paths = Paths.here(tmp_path / "mlruns")
    paths.root.mkdir()
    return Nights(paths)


HOUR = 3600.0


def open_night(name: str, start: float) -> OpenNight:
    """The night of 21 November, which has begun."""
    planned = PlannedNight("2026-11-21", start, moment("2026-11-21 06:30"))
    return replace(OpenNight.of(name, name, planned, start), prepared=True, trials_before=0)


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
    """A server that is away when the night begins: what was trained is not known, what came of it is."""
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
    assert (night.outcome, night.trained, night.before) == (Outcome.DONE, 0, None)
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
    left.wait(timeout=10)
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


def test_data_that_change_are_refreshed() -> None:
    made = replace(schedule(words=("+study=pharma",)), refresh=True)
    assert command_line(made, 600.0)[1:] == ["-m", "sweep.refresh", "+study=pharma", "budget.wall_clock=600s"]
    assert from_json(as_json(made)) == made
    assert "refresh=true" in registration(made)


def test_an_environment_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "night.env").write_text("# secrets\nexport A_TOKEN='a b'\nB=$A_TOKEN\n")
    assert read_environment("night.env", tmp_path) == {"A_TOKEN": "a b", "B": "$A_TOKEN"}


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


class Crash(BaseException):
    """The power is cut."""


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
