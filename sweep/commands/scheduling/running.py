"""`tick` and `run-now`: runs nights in this process."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from sweep.commands.scheduling.progress import plan_of, progress_of
from sweep.nightly.clock import Clock, SystemClock
from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night
from sweep.nightly.room import room_here
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, names
from sweep.nightly.studies import CommandLine, ProgressOf, command_line, in_environment, read_environment
from sweep.nightly.tick import Tick
from sweep.nightly.tick_lock import TickRunning, tick_lock
from sweep.nightly.turn import Machine
from sweep.store.paths import Paths
from sweep.study.stopping import StopRequest


def run_nights(
    paths: Paths,
    *,
    clock: Clock | None = None,
    only: str | None = None,
    progress: ProgressOf | None = None,
    command: CommandLine = command_line,
) -> int:
    """Runs every night that is due, or a night of one schedule now; returns the exit code.

    Args:
        clock: by default the system's.
        only: the schedule of which a night is run now.
        progress, command: how a study is asked and started, by default the real one.

    Raises:
        ConfigurationError: there is no such schedule.
        TickRunning: another process runs nights, so that none can be run now.
    """
    if only is not None:
        load(paths, only)
    if not names(paths):
        print(f"no schedule is installed here ({paths.root.parent})")
        return 0
    ledger = Ledger(paths.nights_database)
    with StopRequest().listening() as stop:
        try:
            with tick_lock(paths.tick_lock) as lock:
                machine = Machine(
                    paths,
                    clock or SystemClock(),
                    progress or partial(progress_of, paths=paths),
                    command,
                    partial(room_here, paths.root),
                    lambda: stop.is_asked,
                    lock.renew,
                )
                return Tick(machine, ledger, partial(_after, ledger=ledger, paths=paths), _say).run(only)
        except TickRunning as running:
            if only is not None:
                raise
            _say(f"{running}; it also looks for what is due now")
            return 0


def _after(night: Night, schedule: Schedule, ledger: Ledger, paths: Paths) -> str:
    from sweep.nightly.morning import after

    variables: dict[str, str] = {}
    tracking_uri = None
    with suppress(Exception):  # the night's own reason
        variables = read_environment(schedule.environment, paths.root.parent)
        with in_environment(variables):
            tracking_uri = plan_of(schedule).tracking_uri
    with in_environment(variables):  # also for the processes that send the note, and keep it in MLflow
        problem = after(night, ledger, paths, schedule.notify, tracking_uri=tracking_uri)
    notes = (paths.night_note(night.schedule, night.date, each) for each in (night.study, None))
    if (note := next((each for each in notes if each.is_file()), None)) is not None:
        _say(f"{night.schedule}: the note on it is {note.relative_to(paths.root.parent)}")
    return problem


def _say(text: str) -> None:
    print(text, flush=True)
