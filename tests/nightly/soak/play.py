"""Plays the nights of a soak, and keeps what was seen."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import psutil

from benchmarks.faults.processes import end_all, in_folder, spawned_by
from sweep.nightly.open_nights import read
from tests.nightly.soak.plan import Fault, NightPlan
from tests.nightly.soak.process import Ended, left_in, run_tick
from tests.nightly.soak.world import FIRST, ROLLING, SEARCH, World

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SHORT_NIGHT, _SHORT_RATE = 300.0, 20.0
"""A night of fifteen real seconds."""
_AWAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Played:
    """A night that was played.

    Attributes:
        date: of the schedule whose data change.
        worked: whether there was, or may have been, something to do.
        has_search: whether the schedule that uses the servers was installed.
        ticks: in order.
        left: processes that stayed in the folder.
        files, size: the number of files in the folder after the night, and their bytes.
    """

    plan: NightPlan
    date: str
    worked: bool
    has_search: bool
    ticks: tuple[Ended, ...]
    left: tuple[str, ...]
    files: int
    size: int

    @property
    def is_quiet(self) -> bool:
        """Whether it was undisturbed and had nothing to do, so that it can be compared with others like it."""
        return self.plan.fault is Fault.NONE and not self.worked


def play(world: World, plan: Sequence[NightPlan], seed: int, servers_until: int) -> list[Played]:
    """Plays the nights.

    Args:
        servers_until: the number of nights after which the schedule that uses the servers is removed.
    """
    chance, played = random.Random(seed), []
    has_work = True
    for number, night in enumerate(plan):
        day = date.fromisoformat(FIRST) + timedelta(days=number)
        if night.changes_data:
            world.change_data()
        if night.more_trials:
            world.trials += 1
            world.install_search()
        has_work = has_work or night.changes_data or night.more_trials
        ticks = _Night(world, night, day, chance).ticks()
        left = left_in(world.folder) if ticks else ()
        files = [file for file in world.paths.root.rglob("*") if file.is_file() and not file.is_symlink()]
        size = sum(file.stat().st_size for file in files)
        played.append(Played(night, str(day), has_work, number < servers_until, tuple(ticks), left, len(files), size))
        has_work = has_work and night.fault is not Fault.NONE
        if number + 1 == servers_until:
            _remove(world, SEARCH)
    return played


class _Night:
    def __init__(self, world: World, plan: NightPlan, day: date, chance: random.Random) -> None:
        self._world, self._plan, self._chance = world, plan, chance
        rolling = world.schedule(ROLLING).hours
        self._start, self._until = rolling.start(day) + _MINUTE, rolling.end(day)
        self._next = rolling.start(day + timedelta(days=1))
        self._day = day

    def ticks(self) -> list[Ended]:
        match self._plan.fault:
            case Fault.GONE:
                return []
            case Fault.OFF:
                return [self._tick(self._until + 2 * _HOUR)]
            case Fault.DISK_FULL:
                self._world.fill_disk()
                first = self._tick(self._start)
                self._world.free_disk()
                return [first, self._tick(self._start + _HOUR)]
            case Fault.DISK_FILLS:
                first = self._tick(self._start, self._fill_disk)
                self._world.free_disk()
                return [first, self._tick(self._start + _HOUR)]
            case Fault.SERVERS_GONE:
                self._world.break_servers()
                first = self._tick(self._search_until() - _SHORT_NIGHT, rate=_SHORT_RATE)
                self._world.repair_servers()
                return [first]
            case Fault.DEADLINE:
                return [self._tick(self._search_until() - _SHORT_NIGHT, rate=_SHORT_RATE)]
            case Fault.CLOCK_BACK:
                return [self._tick(self._start), self._tick(self._start - _DAY)]
            case Fault.NONE:
                return [self._tick(self._start)]
            case fault:
                return [
                    self._tick(self._start, _DISTURBANCES[fault](self._world, self._chance)),
                    self._tick(self._start + _HOUR),
                ]

    def _fill_disk(self, tick: int) -> bool:
        self._world.fill_disk()
        return True

    def _search_until(self) -> float:
        return self._world.schedule(SEARCH).hours.end(self._day - timedelta(days=1))

    def _tick(self, at: float, disturb: Callable[[int], bool] | None = None, rate: float = 1.0) -> Ended:
        return run_tick(self._world.folder, at, rate, self._plan.delay, disturb)


def _kills_tick(world: World, chance: random.Random) -> Callable[[int], bool]:
    return lambda tick: _ends([psutil.Process(tick)])


def _kills_study(world: World, chance: random.Random) -> Callable[[int], bool]:
    def kill(tick: int) -> bool:
        studies = {night.process for night in read(world.paths)}
        return _ends([child for child in psutil.Process(tick).children() if child.pid in studies])

    return kill


def _kills_worker(world: World, chance: random.Random) -> Callable[[int], bool]:
    def kill(tick: int) -> bool:
        workers = spawned_by(tick)
        return _ends([chance.choice(workers)] if workers else [])

    return kill


def _cuts_power(world: World, chance: random.Random) -> Callable[[int], bool]:
    return lambda tick: _ends(in_folder(world.folder))


def _breaks_servers(world: World, chance: random.Random) -> Callable[[int], bool]:
    def break_(tick: int) -> bool:
        world.break_servers()
        threading.Timer(_AWAY_SECONDS, world.repair_servers).start()
        return True

    return break_


def _ends(processes: list[psutil.Process]) -> bool:
    end_all(processes)
    return bool(processes)


_DISTURBANCES: dict[Fault, Callable[[World, random.Random], Callable[[int], bool]]] = {
    Fault.TICK_KILLED: _kills_tick,
    Fault.STUDY_KILLED: _kills_study,
    Fault.WORKER_KILLED: _kills_worker,
    Fault.POWER_CUT: _cuts_power,
    Fault.SERVERS_AWAY: _breaks_servers,
}


def _remove(world: World, name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "sweep.schedule", "remove", name],
        cwd=world.folder,
        check=True,
        capture_output=True,
    )
