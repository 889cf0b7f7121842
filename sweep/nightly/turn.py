"""One turn of a study: its process, run until its share of the night is over, and the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sweep.config.units import show_seconds
from sweep.console.masking import mask
from sweep.console.system_errors import explained
from sweep.errors import ConfigurationError, EnvironmentLacks, Interrupted, NoTrialSucceeded
from sweep.nightly.child import Ended, closing_seconds, run_until
from sweep.nightly.clock import Clock
from sweep.nightly.logs import last_words
from sweep.nightly.night import Outcome
from sweep.nightly.open_nights import OpenNight
from sweep.nightly.refreshed import champion_records, refreshed_since
from sweep.nightly.room import Room, lacks
from sweep.nightly.schedule import Schedule
from sweep.nightly.studies import CommandLine, Progress, ProgressOf, environment_of, verdict_of
from sweep.nightly.tick_lock import process_start
from sweep.store.paths import Paths

_KNOWN_CODES = (ConfigurationError.exit_code, EnvironmentLacks.exit_code, NoTrialSucceeded.exit_code)
_FAILED = NoTrialSucceeded.exit_code
_SIGNALS = 128
"""The exit code of a process that a signal has ended is this and the signal's number."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a turn uses of the world.

    Attributes:
        progress: reads how far a study has come.
        command: the command line of a study.
        room: what is free.
        should_stop: whether this process was asked to stop.
        alive: called every moment while a study runs.
    """

    paths: Paths
    clock: Clock
    progress: ProgressOf
    command: CommandLine
    room: Callable[[], Room]
    should_stop: Callable[[], bool]
    alive: Callable[[], None]


def prepare(night: OpenNight, schedule: Schedule, machine: Machine) -> None:
    """Reads how far the study is before its first turn of the night."""
    if not night.prepared:
        night.before = verdict_of(machine.paths, schedule.study)
        night.trials_before = machine.progress(schedule).trials
        night.prepared = True
    if schedule.refresh and night.entries_before is None:
        night.entries_before, night.points_before = champion_records(machine.paths, schedule.study)


def take_turn(night: OpenNight, schedule: Schedule, until: float, machine: Machine, save: Callable[[], None]) -> bool:
    """Runs the study until then, and records the outcome in the night; returns whether the night is over.

    Args:
        save: keeps the nights on disk.
    """
    paths = machine.paths
    night.verdict = verdict_of(paths, schedule.study)
    # what a study writes it has mostly written by its first verdict
    disk = schedule.disk if night.verdict is None else None
    missing = list(lacks(machine.room(), schedule.memory, disk))
    if missing:
        outcome = Outcome.UNFINISHED if night.seconds else Outcome.SKIPPED
        return _close(night, outcome, EnvironmentLacks.exit_code, "; ".join(missing), machine)

    def begun(process: int) -> None:
        night.process, night.process_started = process, process_start(process)
        save()

    log = paths.night_log(schedule.name, night.date)
    began = machine.clock.now()
    try:
        environment = environment_of(schedule, paths.root.parent)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as output:
            output.write(f"== {time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(began))}: {schedule.study}\n")
        ended = run_until(
            lambda budget: machine.command(schedule, budget),
            until=until,
            folder=paths.root.parent,
            environment=environment,
            log=log,
            clock=machine.clock,
            should_stop=machine.should_stop,
            alive=machine.alive,
            begun=begun,
        )
    except ConfigurationError as error:
        return _close(night, Outcome.FAILED, error.exit_code, str(error), machine)
    except OSError as error:
        lack = explained(error)
        return _close(night, Outcome.FAILED, EnvironmentLacks.exit_code, str(lack or error), machine)
    night.process = night.process_started = None
    night.seconds += ended.seconds
    was_killed = ended.exit_code > _SIGNALS and ended.exit_code != Interrupted.exit_code
    night.exit_code = None if was_killed else ended.exit_code
    progress = machine.progress(schedule)
    night.trained = max(0, progress.trials - night.trials_before)
    night.verdict = verdict_of(paths, schedule.study)
    outcome, reason = _outcome(ended, progress, until - began, machine)
    night.declined = until - ended.ended if outcome is Outcome.UNFINISHED and not ended.exit_code else None
    # the study itself says what is wrong
    words = last_words(log) if outcome is Outcome.FAILED else ""
    text = mask(": ".join(filter(None, (reason, words))))
    if night.entries_before is not None:
        came = refreshed_since(paths, schedule.study, (night.entries_before, night.points_before))
        text = "; ".join(filter(None, (text, came)))
    if outcome is not Outcome.UNFINISHED or machine.should_stop() or (ended.exit_code and not ended.signals):
        code = 0 if outcome is not Outcome.FAILED else ended.exit_code if ended.exit_code in _KNOWN_CODES else _FAILED
        return _close(night, outcome, code, text, machine)
    night.outcome, night.reason, night.ended = outcome.value, text, machine.clock.now()
    return False


def close_unfinished(night: OpenNight, reason: str, now: float) -> None:
    """Ends a night whose study has not ended: all that is finished is kept."""
    night.outcome, night.reason, night.over, night.ended = Outcome.UNFINISHED.value, reason, True, now


def _close(night: OpenNight, outcome: Outcome, tick_code: int, reason: str, machine: Machine) -> bool:
    night.outcome, night.tick_code, night.reason = outcome.value, tick_code, reason
    night.over, night.ended = True, machine.clock.now()
    return True


def _outcome(ended: Ended, progress: Progress, turn: float, machine: Machine) -> tuple[Outcome, str]:
    stopped = machine.should_stop()
    match ended.exit_code:
        case 0 if _is_finished(ended, progress, turn):
            return Outcome.DONE, ""
        case 0:
            return Outcome.UNFINISHED, "the deadline came first; the next night continues"
        case code if stopped and code not in _KNOWN_CODES:
            return Outcome.UNFINISHED, "the nightly run was asked to stop; the next night continues"
        case Interrupted.exit_code if ended.signals:
            return Outcome.UNFINISHED, "stopped at its deadline; the next night continues"
        case Interrupted.exit_code:
            return Outcome.UNFINISHED, "the study was stopped from outside; the next night continues"
        case code if ended.signals and code not in _KNOWN_CODES:
            last = ended.signals[-1].name
            return (
                Outcome.UNFINISHED,
                f"the study did not stop in order at its deadline ({last}); finished trials are kept",
            )
        case code if code > _SIGNALS:
            return (
                Outcome.FAILED,
                f"the study was ended by signal {code - _SIGNALS}, after {show_seconds(ended.seconds)}",
            )
        case code:
            return Outcome.FAILED, f"the study ended with exit code {code}"


def _is_finished(ended: Ended, progress: Progress, turn: float) -> bool:
    """By its records; if they cannot be read, by whether time was left."""
    if progress.finished is not None:
        return progress.finished
    return ended.seconds < (turn - closing_seconds(turn)) / 2 and not ended.signals
