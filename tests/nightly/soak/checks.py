"""What must hold after a soak. Each check is a pure function from the evidence to what is wrong, in words."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from statistics import median

from sweep.nightly.night import Outcome
from tests.nightly.soak.evidence import Evidence
from tests.nightly.soak.plan import Fault
from tests.nightly.soak.play import Played
from tests.nightly.soak.world import ROLLING, SEARCH

_TOLERANCE = 1e-6
"""Largest difference of a loss from the undisturbed one, in nats per token."""

_DONE = frozenset({Outcome.DONE})
OUTCOMES: Mapping[Fault, frozenset[Outcome]] = {
    Fault.NONE: _DONE,
    Fault.TICK_KILLED: _DONE,
    Fault.STUDY_KILLED: _DONE | {Outcome.FAILED},
    Fault.WORKER_KILLED: _DONE,
    Fault.POWER_CUT: _DONE,
    Fault.DISK_FILLS: _DONE | {Outcome.FAILED, Outcome.SKIPPED, Outcome.UNFINISHED},
    Fault.DISK_FULL: _DONE | {Outcome.SKIPPED},
    Fault.SERVERS_AWAY: _DONE,
    Fault.SERVERS_GONE: _DONE | {Outcome.FAILED, Outcome.UNFINISHED},
    Fault.DEADLINE: _DONE | {Outcome.UNFINISHED},
    Fault.OFF: _DONE,
    Fault.GONE: frozenset({Outcome.MISSED}),
    Fault.CLOCK_BACK: _DONE,
}
"""How a night may end in which this happens; of several ends, which one depends on the moment."""

STRIKES = frozenset(
    {
        Fault.TICK_KILLED,
        Fault.STUDY_KILLED,
        Fault.WORKER_KILLED,
        Fault.POWER_CUT,
        Fault.DISK_FILLS,
        Fault.SERVERS_AWAY,
    }
)
"""What comes while a tick is at work."""

_CODES: Mapping[Fault, frozenset[int]] = {
    Fault.TICK_KILLED: frozenset({0, -9}),
    Fault.STUDY_KILLED: frozenset({0, 4}),
    Fault.POWER_CUT: frozenset({0, -9}),
    Fault.DISK_FILLS: frozenset({0, 3}),
    Fault.DISK_FULL: frozenset({0, 3}),
    Fault.SERVERS_GONE: frozenset({0, 3, 4}),
}

_FILES_A_NIGHT = 3
"""What an undisturbed night with nothing to do adds: its log and its note; a database may have one file more for a moment."""
_BYTES_A_NIGHT = 100_000
_MORE_MEMORY, _MORE_SECONDS, _SECONDS = 1.1, 1.5, 0.5


def violations(evidence: Evidence) -> list[str]:
    """What is wrong, each with the name of its check in front; nothing if all holds."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(evidence)]


def every_night_is_accounted_for(evidence: Evidence) -> Iterator[str]:
    """Each night of each schedule is recorded once, ended as it may, says why, and is over."""
    for name, planned in _planned(evidence).items():
        recorded = {night.date: night for night in evidence.nights[name]}
        if len(recorded) != len(evidence.nights[name]):
            yield f"{name}: {len(evidence.nights[name])} nights are recorded on {len(recorded)} dates"
        for day in sorted(recorded.keys() - planned.keys()):
            yield f"{name}: {day} is recorded, and was none of its nights"
        for day, played in planned.items():
            fault = played.plan.fault
            night = recorded.get(day)
            if night is None:
                yield f"{name}: {day} ({fault}) is not recorded"
                continue
            if night.outcome not in OUTCOMES[fault]:
                yield f"{name}: {day} ({fault}) is {night.outcome}: {night.reason}"
            if night.outcome is not Outcome.DONE and not night.reason:
                yield f"{name}: {day} ({fault}) is {night.outcome} without a reason"
    yield from (f"{name}: a night is still open" for name in evidence.open)


def ticks_end_in_order(evidence: Evidence) -> Iterator[str]:
    """Exit codes are those that schedulers know, and nobody reads a traceback."""
    for played in evidence.played:
        allowed = _CODES.get(played.plan.fault, frozenset({0}))
        for number, tick in enumerate(played.ticks):
            if tick.late:
                yield f"{played.date} ({played.plan.fault}): it did not end: {tick.output[-300:]}"
            elif tick.code not in allowed or (number and tick.code == -signal.SIGKILL):
                yield f"{played.date} ({played.plan.fault}): exit code {tick.code}: {tick.output[-300:]}"
    yield from (f"a traceback in {place}" for place, text in evidence.logs.items() if "Traceback (most" in text)


def every_fault_strikes(evidence: Evidence) -> Iterator[str]:
    """Each kind of fault that comes while a tick is at work found something to disturb at least once."""
    struck = Counter(played.plan.fault for played in evidence.played for tick in played.ticks if tick.struck)
    planned = {played.plan.fault for played in evidence.played} & STRIKES
    yield from (f"{fault} found nothing to disturb" for fault in sorted(planned - struck.keys()))


def nothing_is_lost_or_repeated(evidence: Evidence) -> Iterator[str]:
    """Trials, losses and the champion's history are those of the same work undisturbed, each once, in every database."""
    work, undisturbed = evidence.work, evidence.undisturbed
    if work.history != undisturbed.history:
        yield f"the champion's history is {work.history}, undisturbed {undisturbed.history}"
    if work.drift != undisturbed.drift:
        yield f"the drift is {work.drift}, undisturbed {undisturbed.drift}"
    for trial in sorted(undisturbed.losses.keys() - work.losses.keys()):
        yield f"trial {trial} is missing"
    for trial in sorted(work.losses.keys() - undisturbed.losses.keys()):
        yield f"trial {trial} is not part of the undisturbed studies"
    for trial in sorted(work.losses.keys() & undisturbed.losses.keys()):
        if abs(work.losses[trial] - undisturbed.losses[trial]) > _TOLERANCE:
            yield f"trial {trial} has a loss of {work.losses[trial]}, undisturbed {undisturbed.losses[trial]}"
    if evidence.search_trials != {"COMPLETE": evidence.asked}:
        yield f"Optuna has the trials {evidence.search_trials} of {evidence.asked}"
    counted = sum(night.trained for night in evidence.nights[SEARCH])
    if counted != evidence.asked:
        yield f"the nights of {SEARCH} trained {counted} trials, of {evidence.asked}"


def everything_is_recorded_in_mlflow(evidence: Evidence) -> Iterator[str]:
    """Each finished trial has one finished run, no run is still running, and nothing waits to be recorded.

    A refresh takes the trials of earlier ones from the store and records them under its own sweep, too.
    """
    finished = Counter(
        (trial, None if study == SEARCH else sweep)
        for status, study, trial, sweep in evidence.runs
        if status == "FINISHED" and trial is not None
    )
    for trial in sorted(evidence.work.losses.keys() - {trial for trial, _ in finished}):
        yield f"trial {trial} has no finished run"
    yield from (f"trial {trial} has {count} finished runs" for (trial, _), count in finished.items() if count > 1)
    running = [trial or "a sweep" for status, _, trial, _ in evidence.runs if status == "RUNNING"]
    yield from (f"{trial} has a run that is said to be running" for trial in running)
    yield from (f"{file} was not recorded" for file in evidence.spooled)


def every_night_has_its_note(evidence: Evidence) -> Iterator[str]:
    """Each night that ran has a note that was sent; a second time at most if the tick was killed."""
    sent = Counter(evidence.notes)
    for name, planned in _planned(evidence).items():
        for night in evidence.nights[name]:
            count = sum(times for title, times in sent.items() if title.startswith(f"{name}, night of {night.date}:"))
            fault = planned[night.date].plan.fault if night.date in planned else Fault.NONE
            if night.outcome.ran and count == 0:
                yield f"{name}: {night.date} ({fault}) has no note"
            most = 2 if fault in (Fault.TICK_KILLED, Fault.POWER_CUT, Fault.DISK_FILLS, Fault.DISK_FULL) else 1
            if count > most:
                yield f"{name}: the note on {night.date} ({fault}) was sent {count} times"


def no_process_stays_behind(evidence: Evidence) -> Iterator[str]:
    """After the last tick of a night nothing runs, and no tick leaves processes that it did not wait for."""
    for played in evidence.played:
        for tick in played.ticks:
            yield from (f"{played.date} ({played.plan.fault}): {name} was not waited for" for name in tick.zombies)
        yield from (f"{played.date} ({played.plan.fault}): {name} ran on" for name in played.left)


def nothing_grows(evidence: Evidence) -> Iterator[str]:
    """Undisturbed nights with nothing to do take no more memory, time and files at the end than before."""
    quiet = [played for played in evidence.played if played.is_quiet]
    third = len(quiet) // 3
    early, late = quiet[:third], quiet[-third:]
    memory, seconds = (
        [[getattr(played.ticks[0], what) for played in part] for part in (early, late)] for what in ("memory", "cpu")
    )
    if median(memory[1]) > _MORE_MEMORY * median(memory[0]):
        yield f"a night takes {median(memory[1]):,.0f} bytes of memory, {median(memory[0]):,.0f} before"
    if median(seconds[1]) > _MORE_SECONDS * median(seconds[0]) + _SECONDS:
        yield f"a night takes {median(seconds[1]):.1f} s of CPU time, {median(seconds[0]):.1f} before"
    for before, played in zip(evidence.played, evidence.played[1:], strict=False):
        if played.is_quiet and played.files - before.files > _FILES_A_NIGHT:
            yield f"{played.date}: {played.files - before.files} new files in a night with nothing to do"
        if played.is_quiet and played.size - before.size > _BYTES_A_NIGHT:
            yield f"{played.date}: {played.size - before.size:,} more bytes in a night with nothing to do"


CHECKS: Sequence[Callable[[Evidence], Iterator[str]]] = (
    every_night_is_accounted_for,
    ticks_end_in_order,
    every_fault_strikes,
    nothing_is_lost_or_repeated,
    everything_is_recorded_in_mlflow,
    every_night_has_its_note,
    no_process_stays_behind,
    nothing_grows,
)


def _planned(evidence: Evidence) -> dict[str, dict[str, Played]]:
    """The nights that were played, by schedule and date."""
    eve = {
        str(date.fromisoformat(played.date) - timedelta(days=1)): played
        for played in evidence.played
        if played.has_search
    }
    return {ROLLING: {played.date: played for played in evidence.played}, SEARCH: eve}
