"""One turn of a study: its process, run until its share of the night is over, and the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sweep.config.units import show_seconds
from sweep.console.command import ERROR_FILE
from sweep.console.masking import mask, mask_quoted
from sweep.console.system_errors import explained
from sweep.errors import ConfigurationError, EnvironmentLacks, Interrupted, NoTrialSucceeded
from sweep.nightly.child import Ended, closing_seconds, run_until
from sweep.nightly.clock import Clock
from sweep.nightly.logs import last_words, turn_heading
from sweep.nightly.night import Outcome
from sweep.nightly.open_nights import OpenNight
from sweep.nightly.refreshed import champion_counts, champion_news
from sweep.nightly.room import Room, lacks, lacks_gpu
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
        night.set(before=verdict_of(machine.paths, schedule.study))
        night.trials_before = machine.progress(schedule).trials
        night.prepared = True
    if schedule.refresh and night.champion_before is None:
        night.champion_before = champion_counts(machine.paths, schedule.study)


def read_result(night: OpenNight, schedule: Schedule, machine: Machine) -> Progress:
    """Enters what the night has brought so far, if it was prepared; returns how far the study has come."""
    progress = machine.progress(schedule)
    if night.prepared:
        night.set(verdict=verdict_of(machine.paths, schedule.study))
    if night.trials_before is not None and progress.trials is not None:
        night.set(trained=max(0, progress.trials - night.trials_before))
    if night.champion_before is not None:
        news = champion_news(machine.paths, schedule.study, night.champion_before)
        if news is not None:
            night.set(champion=news.after(night.record.champion))
    return progress


def take_turn(night: OpenNight, schedule: Schedule, until: float, machine: Machine, save: Callable[[], None]) -> bool:
    """Runs the study until then, and records the outcome in the night; returns whether the night is over.

    Args:
        save: keeps the nights on disk.
    """
    paths, now = machine.paths, machine.clock.now

    def close(outcome: Outcome, reason: str, tick_code: int) -> bool:
        night.close(outcome, reason, now(), tick_code)
        return True

    verdict = verdict_of(paths, schedule.study)
    night.set(verdict=verdict)
    # what a study writes it has mostly written by its first verdict
    disk = schedule.disk if verdict is None else None
    try:
        environment = environment_of(schedule, paths.root.parent)
    except ConfigurationError as error:
        night.set(exit_code=error.exit_code)
        return close(Outcome.FAILED, str(error), error.exit_code)
    room = machine.room()
    missing = list(lacks(room, schedule.memory, disk))
    if schedule.gpu_memory is not None:
        missing += lacks_gpu(room, schedule.gpu_memory, environment)
    if missing:
        outcome = Outcome.UNFINISHED if night.has_run else Outcome.SKIPPED
        return close(outcome, "; ".join(missing), EnvironmentLacks.exit_code)

    def begun(process: int) -> None:
        night.process, night.process_started = process, process_start(process)
        save()

    log = paths.night_log(schedule.name, night.record.date)
    began = now()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        paths.night_error.unlink(missing_ok=True)
        with log.open("a", encoding="utf-8") as output:
            output.write(turn_heading(schedule.study, began))
        ended = run_until(
            lambda budget: machine.command(schedule, budget),
            until=until,
            folder=paths.root.parent,
            environment={**environment, ERROR_FILE: str(paths.night_error)},
            log=log,
            clock=machine.clock,
            should_stop=machine.should_stop,
            alive=machine.alive,
            begun=begun,
        )
    except OSError as error:
        lack = explained(error)
        night.set(exit_code=EnvironmentLacks.exit_code)
        return close(Outcome.FAILED, str(lack or error), EnvironmentLacks.exit_code)
    said = _error(paths)
    night.process = night.process_started = None
    was_killed = ended.exit_code > _SIGNALS and ended.exit_code != Interrupted.exit_code
    seconds = night.record.seconds + ended.seconds
    night.set(seconds=seconds, exit_code=None if was_killed else ended.exit_code)
    progress = read_result(night, schedule, machine)
    outcome, reason = _outcome(ended, progress, until - began, machine)
    night.declined = until - ended.ended if outcome is Outcome.UNFINISHED and not ended.exit_code else None
    # the study itself says what is wrong; the end of a log may be a library's
    words = (said or mask(last_words(log))) if outcome is Outcome.FAILED else ""
    text = mask_quoted(": ".join(filter(None, (reason, words))))
    if outcome is not Outcome.UNFINISHED or machine.should_stop() or (ended.exit_code and not ended.signals):
        code = 0 if outcome is not Outcome.FAILED else ended.exit_code if ended.exit_code in _KNOWN_CODES else _FAILED
        return close(outcome, text, code)
    night.set(outcome=outcome, reason=text, ended=now())
    return False


def _error(paths: Paths) -> str:
    """The error with which the study said that it ended; empty if it said nothing."""
    try:
        text = paths.night_error.read_text(encoding="utf-8")
        paths.night_error.unlink()
    except (OSError, UnicodeDecodeError):
        return ""
    return " ".join(text.split())


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
