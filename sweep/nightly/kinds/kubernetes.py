"""`kind=kubernetes`: a CronJob, whose pods share a volume with `mlruns`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.nightly.addresses import environment_names
from sweep.nightly.kinds.kind import FilesOnly, Place, cron_expression, folder_option, mark, registration
from sweep.nightly.schedule import Schedule

_LONGEST_NAME = 52
"""Kubernetes adds eleven characters to the name of a CronJob."""
_WORK = "/work"
_STOPPING_SECONDS = 180
_GRACE_SECONDS = 900
"""Beside a night's own seconds: to fetch the image and to start."""
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?")


class Kubernetes(FilesOnly):
    """A CronJob manifest, to be applied with kubectl."""

    name = "kubernetes"
    about = "a CronJob: image=NAME, claim=VOLUME for mlruns, gpus=1"
    keys = ("image", "claim", "gpus", "into")

    def problems(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.problems`."""
        if "image" not in schedule.options:
            yield "image: name a container image that has this project installed (image=REGISTRY/NAME:TAG)"
        claim = schedule.options.get("claim", "goldilocks")
        if not _DNS_NAME.fullmatch(claim):
            yield f"claim={claim}: no name of a PersistentVolumeClaim: lower-case letters, digits and '-'"
        gpus = schedule.options.get("gpus", "0")
        if not gpus.isdecimal() or int(gpus) > 64:
            yield f"gpus={gpus}: a number from 0 to 64"

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        import yaml

        file = folder_option(schedule, place, ".") / f"goldilocks-{schedule.name}.cronjob.yaml"
        return {file: f"{mark(schedule)}\n{yaml.safe_dump(cron_job(schedule, place), sort_keys=False, width=1000)}"}

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        (file,) = self.files(schedule, place)
        name = resource_name(schedule)
        yield f"apply it: kubectl apply -f {file.relative_to(place.folder) if file.is_relative_to(place.folder) else file}"
        yield f"it needs the PersistentVolumeClaim '{schedule.options.get('claim', 'goldilocks')}', for mlruns and data files"
        if _has_variables(schedule):
            receivers = ", ".join(environment_names(schedule.notify))
            holds = f", which holds {receivers} as well" if receivers else ""
            yield f"its variables: kubectl create secret generic {name} --from-env-file={schedule.environment or 'FILE'}{holds}"


def cron_job(schedule: Schedule, place: Place) -> dict[str, Any]:
    """The manifest. A first container registers the schedule in the volume, where the second runs the tick."""
    name, options, hours = resource_name(schedule), schedule.options, schedule.hours
    common = {
        "image": options.get("image", ""),
        "workingDir": _WORK,
        "volumeMounts": [{"name": "work", "mountPath": _WORK}],
        **({"envFrom": [{"secretRef": {"name": name, "optional": True}}]} if _has_variables(schedule) else {}),
    }
    gpus = int(options.get("gpus", "0"))
    requests = {"memory": str(schedule.memory)} if schedule.memory else {}
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    resources = {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}
    command = ["python", "-m", "sweep.schedule"]
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _STOPPING_SECONDS,
        "initContainers": [{"name": "register", **common, "command": [*command, *registration(schedule)]}],
        "containers": [
            {"name": "tick", **common, "command": [*command, "tick"], **({"resources": resources} if resources else {})}
        ],
        "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": options.get("claim", "goldilocks")}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "goldilocks"}},
        "spec": {
            "schedule": cron_expression(hours.triggers(place.now)),
            "timeZone": hours.zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": int(hours.length),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": int(hours.length) + _GRACE_SECONDS,
                    "template": {"metadata": {"labels": {"job": name}}, "spec": pod},
                }
            },
        },
    }


def _has_variables(schedule: Schedule) -> bool:
    return schedule.environment is not None or any(environment_names(schedule.notify))


def resource_name(schedule: Schedule) -> str:
    """The schedule's name as Kubernetes allows it; with a digest where that is not the same."""
    plain = re.sub("[^a-z0-9-]+", "-", schedule.name.lower()).strip("-")
    name = f"goldilocks-{plain}"
    if plain == schedule.name and len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(schedule.name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"
