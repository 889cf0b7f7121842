"""`kind=cron`: lines in the user's crontab (crontab(5))."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sweep.errors import EnvironmentLacks
from sweep.nightly.kinds.kind import Place, shell
from sweep.nightly.schedule import Schedule

_SECONDS = 30.0
_LOG = "mlruns/nightly/tick.log"


class Cron:
    """Lines in the crontab. Cron knows neither time zones nor what it missed, so it looks every hour, and the tick decides."""

    name = "cron"
    about = "lines in your crontab: a look every hour at the minute of the start"
    keys: tuple[str, ...] = ()

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.problems`."""
        yield from ()

    def lacks(self) -> Iterator[str]:
        """See `Kind.lacks`."""
        if shutil.which("crontab") is None:
            yield "kind=cron: this machine has no crontab; install cron (Debian: apt-get install cron), or write another kind"

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        return {}

    def preview(self, schedule: Schedule, place: Place) -> str:
        """See `Kind.preview`."""
        return f"to your crontab:\n{block(schedule, place)}"

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        rest = without_block(read_crontab(), schedule, place)
        separator = "" if not rest or rest.endswith("\n") else "\n"
        write_crontab(f"{rest}{separator}{block(schedule, place)}")
        yield "crontab: crontab -l"

    def switch_off(self, schedule: Schedule, place: Place) -> None:
        """See `Kind.switch_off`."""
        if shutil.which("crontab") is None:
            return
        before = read_crontab()
        after = without_block(before, schedule, place)
        if after != before:
            write_crontab(after)


def block(schedule: Schedule, place: Place) -> str:
    """The schedule's lines, between two marks."""
    minutes = ",".join(map(str, minutes_of(schedule, place)))
    begin, end = _marks(schedule, place)
    command = f"cd {shell((str(place.folder),))} && {shell(place.command('tick'))} >> {_LOG} 2>&1"
    # a plain % would end the command, also within quotes
    line = f"{minutes} * * * * {command.replace('%', chr(92) + '%')}"
    hours = f"# {schedule.hours}; a look outside these hours ends at once"
    return "\n".join((begin, hours, line, end, ""))


def minutes_of(schedule: Schedule, place: Place) -> list[int]:
    """The minutes of the machine's clock at which a night may begin: several where zones differ by parts of an hour that change."""
    zone, minutes = ZoneInfo(schedule.hours.zone), set()
    for days in range(0, 366, 7):
        moment = datetime.fromtimestamp(place.now, zone) + timedelta(days=days)
        start = datetime.combine(moment.date(), schedule.hours.at, zone)
        minutes.add(start.astimezone().minute)
    return sorted(minutes)


def without_block(crontab: str, schedule: Schedule, place: Place) -> str:
    """A crontab without the schedule's lines; all others stay as they are. A block without its end loses its first mark only."""
    begin, end = _marks(schedule, place)
    kept: list[str] = []
    inside: list[str] | None = None
    for line in crontab.splitlines(keepends=True):
        text = line.rstrip("\n")
        if inside is None and text == begin:
            inside = []
        elif inside is None:
            kept.append(line)
        elif text == end:
            inside = None
        else:
            inside.append(line)
    return "".join(kept + (inside or []))


def read_crontab() -> str:
    """The user's crontab, empty if there is none.

    Raises:
        EnvironmentLacks: it cannot be read.
    """
    ended = _crontab(["-l"], None)
    if ended.returncode and "no crontab" not in ended.stderr.lower():
        raise EnvironmentLacks(
            f"`crontab -l` failed: {ended.stderr.strip() or f'exit code {ended.returncode}'}; nothing was changed"
        )
    return ended.stdout if not ended.returncode else ""


def write_crontab(text: str) -> None:
    """Replaces the user's crontab.

    Raises:
        EnvironmentLacks: it is refused.
    """
    ended = _crontab(["-"], text)
    if ended.returncode:
        raise EnvironmentLacks(
            f"`crontab -` failed: {ended.stderr.strip() or f'exit code {ended.returncode}'}; nothing was changed"
        )


def _crontab(words: list[str], text: str | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            ["crontab", *words],  # noqa: S607
            input=text,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacks(f"crontab cannot be used: {error}; write another kind") from error


def _marks(schedule: Schedule, place: Place) -> tuple[str, str]:
    """Different folders may hold schedules of one name."""
    return (
        f"# goldilocks schedule {schedule.name} in {place.folder}: begin",
        f"# goldilocks schedule {schedule.name} in {place.folder}: end",
    )
