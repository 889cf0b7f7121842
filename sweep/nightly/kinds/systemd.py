"""`kind=systemd`: a user timer and its service (systemd.timer(5), systemd.service(5))."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from sweep.errors import EnvironmentLacks
from sweep.nightly.kinds.kind import Place, mark
from sweep.nightly.schedule import Schedule

_SECONDS = 30.0
_STOPPING_SECONDS = 180
_NOT_IN_PROGRAMS = re.compile(r"""["'\\]""")


class Systemd:
    """A user timer. It fires at the next opportunity if the machine was off (Persistent=true)."""

    name = "systemd"
    about = "a user timer; a night missed while the machine was off starts when it is on again"
    keys: tuple[str, ...] = ()

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.problems`."""
        yield from ()

    def lacks(self) -> Iterator[str]:
        """See `Kind.lacks`."""
        if shutil.which("systemctl") is None:
            yield "kind=systemd: this machine has no systemd; write kind=cron, or another kind"

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        folder, unit = unit_folder(), unit_name(schedule, place)
        return {folder / f"{unit}.service": service(schedule, place), folder / f"{unit}.timer": timer(schedule, place)}

    def preview(self, schedule: Schedule, place: Place) -> str:
        """See `Kind.preview`."""
        unit = unit_name(schedule, place)
        return f"systemctl --user daemon-reload\nsystemctl --user enable {unit}.timer\nsystemctl --user restart {unit}.timer"

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        unit = unit_name(schedule, place)
        _systemctl("daemon-reload")
        _systemctl("enable", f"{unit}.timer")
        _systemctl("restart", f"{unit}.timer")  # a timer that runs already takes its new hours
        yield f"timer: systemctl --user status {unit}.timer"
        if not _lingers():
            yield f"while you are logged out nothing runs, unless you allow it once: loginctl enable-linger {getpass.getuser()}"

    def switch_off(self, schedule: Schedule, place: Place) -> None:
        """See `Kind.switch_off`."""
        unit = unit_name(schedule, place)
        if (unit_folder() / f"{unit}.timer").exists() and shutil.which("systemctl"):
            # the service of a night that runs goes on to its end
            _systemctl("disable", "--now", f"{unit}.timer", check=False)


def service(schedule: Schedule, place: Place) -> str:
    """The unit that runs one tick."""
    environment = ""
    if schedule.environment is not None:
        file = place.folder / Path(schedule.environment).expanduser()
        environment = f"EnvironmentFile=-{_plain(str(file))}\n"
    # systemd refuses some characters in the path of a program, which are allowed in its arguments
    through = ("/usr/bin/env",) if _NOT_IN_PROGRAMS.search(place.python) else ()
    command = " ".join(map(quoted, (*through, *place.command("tick"))))
    return f"""{mark(schedule)}
[Unit]
Description=Goldilocks: the nightly study {_plain(schedule.name)} ({_plain(str(schedule.hours))})

[Service]
Type=oneshot
WorkingDirectory={_plain(str(place.folder))}
{environment}ExecStart=:{command}
# stopped by hand or with the machine: what is finished is kept
SuccessExitStatus=130
# the tick asks the study to stop; its workers follow
KillMode=mixed
TimeoutStopSec={_STOPPING_SECONDS}
"""


def timer(schedule: Schedule, place: Place) -> str:
    """The unit that starts the service."""
    hours = schedule.hours
    times = "\n".join(f"OnCalendar=*-*-* {each:%H:%M}:00 {hours.zone}" for each in hours.triggers(place.now))
    return f"""{mark(schedule)}
[Unit]
Description=Goldilocks: starts the nightly study {_plain(schedule.name)} at {hours.at:%H:%M} {hours.zone}

[Timer]
{times}
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def unit_name(schedule: Schedule, place: Place) -> str:
    """Different folders may hold schedules of one name."""
    digest = hashlib.sha256(os.fsencode(place.folder)).hexdigest()[:8]
    return f"goldilocks-{re.sub('[^A-Za-z0-9_.-]', '-', schedule.name)}-{digest}"


def unit_folder() -> Path:
    """Where a user's own units are."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "systemd" / "user"


def quoted(word: str) -> str:
    """A word of ExecStart=; `:` before the command turns off the expansion of variables, so `$` is an ordinary character."""
    return f'"{_plain(word.replace(chr(92), chr(92) * 2)).replace(chr(34), chr(92) + chr(34))}"'


def _plain(text: str) -> str:
    """With the specifiers of units escaped."""
    return text.replace("%", "%%")


def _systemctl(*words: str, check: bool = True) -> None:
    command = ["systemctl", "--user", *words]
    try:
        ended = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
        problem = (ended.stderr or ended.stdout).strip() if ended.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem and check:
        raise EnvironmentLacks(
            f"`{' '.join(command)}` failed: {problem}; is a user session with systemd running here? Else write kind=cron, or kind=none "
            "and call `tick` yourself"
        )


def _lingers() -> bool:
    """Whether the user's timers run while they are logged out; True where that is not known."""
    try:
        shown = subprocess.run(  # noqa: S603
            ["loginctl", "show-user", getpass.getuser(), "--property=Linger"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return "Linger=no" not in shown.stdout
