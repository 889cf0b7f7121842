"""What happens in each night of a soak, drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import pairwise
from random import Random


class Fault(StrEnum):
    """What disturbs a night."""

    NONE = auto()
    TICK_KILLED = auto()
    """The tick is killed; its study runs on alone."""
    STUDY_KILLED = auto()
    """The study's own process is killed, its workers are not."""
    WORKER_KILLED = auto()
    """One of the processes that the study has started is killed: a worker or the recorder."""
    POWER_CUT = auto()
    """All processes are killed at once."""
    DISK_FILLS = auto()
    """The disk becomes full while the tick is at work."""
    DISK_FULL = auto()
    """It is full before."""
    SERVERS_AWAY = auto()
    """The tracking server and the database server cannot be reached for some seconds."""
    SERVERS_GONE = auto()
    """They cannot be reached for the whole night."""
    DEADLINE = auto()
    """The night is over before the work is done."""
    OFF = auto()
    """The machine is off all night, and on in the morning."""
    GONE = auto()
    """It is off until the next night."""
    CLOCK_BACK = auto()
    """After the night, the clock is set back by a day, and a tick comes."""


@dataclass(frozen=True, slots=True)
class NightPlan:
    """One night.

    Attributes:
        fault: what disturbs it.
        delay: seconds between the start of the tick's first study and the fault.
        changes_data: whether the data of the study on changing data change before it.
        more_trials: whether the search is given one more trial before it.
    """

    fault: Fault
    delay: float
    changes_data: bool = False
    more_trials: bool = False


WITH_SERVERS: Mapping[Fault, int] = {
    Fault.NONE: 2,
    Fault.TICK_KILLED: 1,
    Fault.STUDY_KILLED: 1,
    Fault.WORKER_KILLED: 2,
    Fault.POWER_CUT: 2,
    Fault.DISK_FILLS: 1,
    Fault.SERVERS_AWAY: 2,
    Fault.SERVERS_GONE: 1,
    Fault.DEADLINE: 1,
}
"""The first nights: two schedules, one of them with a database server and a tracking server."""

ALONE: Mapping[Fault, int] = {
    Fault.NONE: 12,
    Fault.TICK_KILLED: 4,
    Fault.STUDY_KILLED: 2,
    Fault.WORKER_KILLED: 1,
    Fault.POWER_CUT: 2,
    Fault.DISK_FILLS: 1,
    Fault.DISK_FULL: 1,
    Fault.OFF: 1,
    Fault.GONE: 2,
    Fault.CLOCK_BACK: 1,
}
"""The later ones: only the schedule whose data change is left."""

CHANGES = 3
"""Changes of the data in each of the two parts."""

_LATEST = {True: 9.0, False: 1.5}
"""When a night is disturbed at the latest, in seconds after its first study began, by whether it has work to do."""

_STRIKES = frozenset(Fault) - {Fault.NONE, Fault.OFF, Fault.GONE, Fault.CLOCK_BACK, Fault.DISK_FULL}


_ENDS_DONE = frozenset(
    {Fault.NONE, Fault.TICK_KILLED, Fault.POWER_CUT, Fault.SERVERS_AWAY, Fault.OFF, Fault.CLOCK_BACK}
)
"""All work is done after such a night, so no version of the data is skipped if they change next."""


def soak_plan(seed: int) -> list[NightPlan]:
    """Forty nights in which every fault comes, most of them while there is work; the same for the same seed."""
    random = Random(seed)
    return [*_part(random, WITH_SERVERS, grows=True), *_part(random, ALONE, grows=False)]


def _part(random: Random, faults: Mapping[Fault, int], *, grows: bool) -> list[NightPlan]:
    while True:
        drawn = random.sample([*faults], counts=[*faults.values()], k=sum(faults.values()))
        # what is left to do is done in the last one, and whatever stays behind is seen
        drawn.remove(Fault.NONE)
        drawn.append(Fault.NONE)
        before = pairwise(drawn)
        places = [place for place, (last, fault) in enumerate(before, 1) if fault in _STRIKES and last in _ENDS_DONE]
        if len(places) >= CHANGES:
            break
    changed = set(random.sample(places, CHANGES))
    nights = []
    for place, fault in enumerate(drawn):
        more_trials = grows and fault in {Fault.NONE, *_STRIKES}
        # there are workers only while there is work, so the first is killed early, for one to be killed on any machine
        is_first = more_trials and fault is Fault.WORKER_KILLED and fault not in drawn[:place]
        delay = random.uniform(0.3, _LATEST[(more_trials or place in changed) and not is_first])
        nights.append(NightPlan(fault, delay, place in changed, more_trials))
    return nights
