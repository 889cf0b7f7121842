"""`kind=github`: a workflow of GitHub Actions, which keeps `mlruns` in the repository's cache between nights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.errors import ConfigurationError
from sweep.nightly.addresses import environment_names
from sweep.nightly.kinds.kind import FilesOnly, Place, mark, registration, shell
from sweep.nightly.schedule import Schedule
from sweep.nightly.studies import read_environment

_HOSTED = re.compile(r"(ubuntu|windows|macos)-")
_MOST_HOSTED_MINUTES = 360
_AROUND_MINUTES = 15
"""For setup, and for the cache."""
_SETUP = "python -m pip install goldilocks-lora"


class Github(FilesOnly):
    """A workflow file, which works once it is pushed to the default branch."""

    name = "github"
    about = "a workflow of GitHub Actions; mlruns is kept in its cache"
    keys = ("runner", "setup")

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.problems`."""
        runner = schedule.options.get("runner", "ubuntu-latest")
        minutes = _minutes(schedule)
        if _HOSTED.match(runner) and minutes > _MOST_HOSTED_MINUTES:
            yield (
                f"deadline: {schedule.hours} takes {minutes} minutes with setup, and GitHub's own runners end after "
                f"{_MOST_HOSTED_MINUTES}; choose an earlier deadline, or runner=LABEL of your own machine"
            )
        for word in (*schedule.words, *schedule.notify, schedule.options.get("setup", "")):
            if "${{" in word:
                yield f"{word}: GitHub would replace ${{{{ }}}} here; write ${{oc.env:NAME}}, and environment=FILE with that name"

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        import yaml

        file = place.folder / ".github" / "workflows" / f"goldilocks-{schedule.name}.yml"
        text = yaml.safe_dump(workflow(schedule, place), sort_keys=False, width=1000)
        return {file: f"{mark(schedule)}\n{text}"}

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        yield "commit and push the workflow to the default branch; GitHub starts it from then on"
        names = ", ".join(variables(schedule, place))
        if names:
            yield f"add as secrets of the repository (Settings, Secrets and variables, Actions): {names}"


def workflow(schedule: Schedule, place: Place) -> dict[str, Any]:
    """The workflow. The first step registers the schedule, since the runner knows nothing of this folder."""
    hours, name = schedule.hours, f"goldilocks-{schedule.name}"
    cache = {"path": "mlruns", "key": f"{name}-${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}"}
    secrets = {each: f"${{{{ secrets.{each} }}}}" for each in variables(schedule, place)}
    job = {
        "runs-on": schedule.options.get("runner", "ubuntu-latest"),
        "timeout-minutes": _minutes(schedule),
        **({"env": secrets} if secrets else {}),
        "steps": [
            {"uses": "actions/checkout@v4"},
            {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
            {"name": "Install", "run": schedule.options.get("setup", _SETUP)},
            {"uses": "actions/cache/restore@v4", "with": {**cache, "restore-keys": f"{name}-"}},
            {"name": "Register", "run": shell(("python", "-m", "sweep.schedule", *registration(schedule)))},
            {"name": "Run", "run": shell(("python", "-m", "sweep.schedule", "tick"))},
            {"uses": "actions/cache/save@v4", "if": "always()", "with": cache},
            {
                "uses": "actions/upload-artifact@v4",
                "if": "always()",
                "with": {"name": name, "path": "mlruns/reports\nmlruns/nightly", "if-no-files-found": "ignore"},
            },
        ],
    }
    crons = [{"cron": f"{each.minute} {each.hour} * * *", "timezone": hours.zone} for each in hours.triggers(place.now)]
    return {
        "name": f"Goldilocks: {schedule.name}",
        "on": {"schedule": crons, "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": name, "cancel-in-progress": False},
        "jobs": {"night": job},
    }


def variables(schedule: Schedule, place: Place) -> list[str]:
    """The names in the environment file, and those of notifiers; the values stay here."""
    try:
        names = list(read_environment(schedule.environment, place.folder))
    except ConfigurationError:
        names = []
    return list(dict.fromkeys([*names, *environment_names(schedule.notify)]))


def _minutes(schedule: Schedule) -> int:
    return int(schedule.hours.length // 60) + 2 * _AROUND_MINUTES
