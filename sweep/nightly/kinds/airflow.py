"""`kind=airflow`: a DAG file (https://airflow.apache.org)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

from sweep.nightly.kinds.kind import FilesOnly, Place, cron_expression, folder_option, python_script
from sweep.nightly.schedule import Schedule

_DAG = '''"""Runs the studies of the night: <HOURS>."""

import subprocess
from datetime import timedelta

import pendulum

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task


@dag(
    dag_id=<DAG>,
    schedule=<SCHEDULE>,
    start_date=pendulum.datetime(<START>, tz=<ZONE>),
    catchup=False,  # the tick itself knows what was missed
    max_active_runs=1,
    tags=["goldilocks"],
)
def night():
    @task(execution_timeout=timedelta(seconds=<SECONDS>), retries=0)
    def tick() -> None:
        """One tick; its exit codes are those of `python -m sweep.schedule tick --help`."""
        ended = subprocess.run(<COMMAND>, cwd=<FOLDER>)
        if ended.returncode not in (0, 130):
            raise RuntimeError(f"the tick ended with exit code {ended.returncode}")

    tick()


night()
'''
_GRACE_SECONDS = 900


class Airflow(FilesOnly):
    """A Python file with a DAG, for Airflow 2 and 3."""

    name = "airflow"
    about = "a DAG file, for Airflow 2 and 3, in $AIRFLOW_HOME/dags or into=FOLDER"
    keys = ("into",)

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        home = os.environ.get("AIRFLOW_HOME")
        folder = folder_option(schedule, place, str(Path(home) / "dags") if home else "dags")
        hours, name = schedule.hours, re.sub(r"\W", "_", schedule.name)
        start: date = hours.date_at(schedule.since) - timedelta(days=1)
        values = {
            "DAG": repr(f"goldilocks_{name}"),
            "SCHEDULE": repr(cron_expression(hours.triggers(place.now))),
            "START": f"{start.year}, {start.month}, {start.day}",
            "ZONE": repr(hours.zone),
            "SECONDS": str(int(hours.length) + _GRACE_SECONDS),
        }
        return {folder / f"goldilocks_{name}.py": python_script(schedule, place, _DAG, **values)}

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        yield "Airflow finds the file by itself if it lies in its DAG folder; switch the DAG on there"
