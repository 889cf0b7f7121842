"""`kind=prefect`: a flow that serves itself on a schedule (https://docs.prefect.io)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sweep.nightly.kinds.kind import FilesOnly, Place, cron_expression, folder_option, python_script, shell
from sweep.nightly.schedule import Schedule

_FLOW = '''"""Runs the studies of the night: <HOURS>."""

import subprocess

from prefect import flow
from prefect.schedules import Cron


@flow(name="goldilocks " + <NAME>, log_prints=True)
def night() -> None:
    """One tick; its exit codes are those of `python -m sweep.schedule tick --help`."""
    ended = subprocess.run(<COMMAND>, cwd=<FOLDER>, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(ended.stdout)
    if ended.returncode not in (0, 130):
        raise RuntimeError(f"the tick ended with exit code {ended.returncode}")


if __name__ == "__main__":
    night.serve(
        name=<NAME>,
        schedule=Cron(<CRON>, timezone=<ZONE>),
        limit=1,
    )
'''


class Prefect(FilesOnly):
    """A Python file with a flow of Prefect 3."""

    name = "prefect"
    about = "a flow of Prefect 3, a Python file that serves itself"
    keys = ("into",)

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        name = re.sub(r"\W", "_", schedule.name)
        cron = cron_expression(schedule.hours.triggers(place.now))
        text = python_script(schedule, place, _FLOW, CRON=repr(cron), ZONE=repr(schedule.hours.zone))
        return {folder_option(schedule, place, ".") / f"goldilocks_{name}_flow.py": text}

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        (file,) = self.files(schedule, place)
        yield f"serve it, where Prefect is installed: {shell(('python', str(file)))}"
