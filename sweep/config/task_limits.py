"""What the results of a study must not be used for, as its task says; every page and card shows it."""

from __future__ import annotations

import yaml

from sweep.records import StudyRecord


def limits_of(record: StudyRecord) -> str | None:
    """The text of `task.limits`; None if there is none, or the recorded configuration cannot be read."""
    try:
        config = yaml.safe_load(record.config)
    except yaml.YAMLError:
        return None
    task = config.get("task") if isinstance(config, dict) else None
    limits = task.get("limits") if isinstance(task, dict) else None
    return str(limits) if limits else None
