"""Ticks over simulated nights. The studies are small real processes that count their trials and their time in files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sweep.nightly.due import PlannedNight
from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night
from sweep.nightly.open_nights import OpenNight
from sweep.nightly.room import Room
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import save
from sweep.nightly.studies import Progress
from sweep.nightly.tick import Tick
from sweep.nightly.turn import Machine
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshLog
from tests.nightly.made import moment, schedule

HOUR = 3600.0

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
    take(20)
    while pathlib.Path("seen").read_text() != pathlib.Path("now").read_text():
        time.sleep(0.002)
while (done := int(file.read_text()) if file.exists() else 0) < trials and budget >= seconds:
    budget -= seconds
    take(seconds)
    pathlib.Path(name + ".new").write_text(str(done + 1))
    os.replace(name + ".new", file)
"""


class FileClock:
    """A clock that advances by what the studies say that they took, so that a busy machine changes nothing.

    A study that does not end by itself goes on only when the tick has looked at its time: it is asked to stop after the same number of
    its steps, however long either process was paused.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> float:
        return float(self._file.read_text())

    def wait(self, seconds: float) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self._file.write_text(str(self.now() + seconds))

    def looked(self) -> None:
        """The study may go on."""
        self._file.with_name("seen").write_text(self._file.read_text())


@dataclass
class Nights:
    """Ticks in a folder.

    Attributes:
        studies: by schedule: trials, seconds of one, and how it ends.
        told: the nights with a note.
        said: what ticks printed.
        stop_at: when the tick is asked to stop.
        reading: seconds that it takes to read the progress of a study.
        unreadable: how often it cannot be read from now on.
        broken: the schedules whose progress, or note, raises an error that nobody expects.
        turns: the schedules whose studies were started, in order.
    """

    paths: Paths
    studies: dict[str, tuple[int, float, str]] = field(default_factory=dict)
    told: list[Night] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    room: Room = field(default_factory=lambda: Room(10**12, 10**12))
    stop_at: float = float("inf")
    reading: float = 0.0
    unreadable: int = 0
    broken: set[str] = field(default_factory=set)

    def add(self, name: str, trials: int, seconds: float, end: str = "", **changes: object) -> Schedule:
        made = schedule(**{"name": name, "study": name, **changes})  # type: ignore[arg-type]
        save(self.paths, made)
        self.studies[name] = (trials, seconds, end)
        return made

    def tick(self, at: str, only: str | None = None, alive: Callable[[], None] = lambda: None) -> int:
        file = self.paths.root.parent / "now"
        file.write_text(str(moment(at)))
        clock = FileClock(file)
        clock.looked()

        def look() -> None:
            alive()
            clock.looked()

        machine = Machine(
            self.paths,
            clock,
            self._progress,
            self._command,
            lambda: self.room,
            lambda: clock.now() >= self.stop_at,
            look,
        )
        return Tick(machine, Ledger(self.paths.nights_database), self._after, self.said.append).run(only)

    def nights(self, name: str) -> list[tuple[str, str, int]]:
        return [(each.date, each.outcome.value, each.trained) for each in self.recorded(name)]

    def recorded(self, name: str) -> list[Night]:
        return Ledger(self.paths.nights_database).nights(name)

    def _after(self, night: Night, _: Schedule) -> None:
        self.told.append(night)
        if night.schedule in self.broken:
            raise KeyError("note")

    def _progress(self, made: Schedule) -> Progress:
        if self.reading:
            FileClock(self.paths.root.parent / "now").sleep(self.reading)
        if made.name in self.broken:
            raise ValueError("Expecting value: line 1 column 1")
        if self.unreadable:
            self.unreadable -= 1
            return Progress(None)
        file = self.paths.root.parent / f"{made.name}.trials"
        done = int(file.read_text()) if file.exists() else 0
        challengers = len(RefreshLog(self.paths.refresh_log(made.study)).adapters) if made.refresh else 0
        return Progress(done + challengers, done >= self.studies[made.name][0])

    def _command(self, made: Schedule, budget: float) -> Sequence[str]:
        self.turns.append(made.name)
        trials, seconds, end = self.studies[made.name]
        return [sys.executable, "-S", "-E", "-c", STUDY, made.name, str(budget), str(trials), str(seconds), end]


class Crash(BaseException):
    """The power is cut."""


def open_night(name: str, start: float) -> OpenNight:
    """The night of 21 November, which has begun."""
    planned = PlannedNight("2026-11-21", start, moment("2026-11-21 06:30"))
    return replace(OpenNight.of(name, name, planned, start), prepared=True, trials_before=0)


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    paths = Paths.here(tmp_path / "mlruns")
    paths.root.mkdir()
    return Nights(paths)
