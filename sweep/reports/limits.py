"""What the results of a study must not be used for, as its task says; every page and card shows it."""

from __future__ import annotations

import yaml

from sweep.records import StudyRecord


def limits_of(record: StudyRecord) -> str | None:
    """The text of `task.limits`; None if there is none."""
    task = (yaml.safe_load(record.config) or {}).get("task") or {}
    limits = task.get("limits")
    return str(limits) if limits else None
