"""The morning note in MLflow: an artifact of the sweep's run, `notes/DATE.md`, and the tag `sweep.morning`."""

from __future__ import annotations

from pathlib import Path

from sweep.errors import ConfigurationError
from sweep.nightly.asking import ask
from sweep.nightly.night import Night
from sweep.store.paths import Paths
from sweep.tracking import shown_store

WAIT_SECONDS = 120.0
"""MLflow takes seconds to load, and a server may be slow."""


def keep_in_mlflow(night: Night, note: Path, title: str, paths: Paths, tracking_uri: str | None) -> str | None:
    """Keeps a written note with the run that the study opened in this night, in a process of its own that loads MLflow.

    The run's state and times stay as they are; keeping a note again replaces it.

    Args:
        tracking_uri: `tracking.uri` of the study, None for the project's own database.

    Returns:
        why it is not kept; None if it is, or if nothing was recorded in this night.
    """
    own = tracking_uri is None
    if not (night.trained or night.champion_news) or (own and not paths.mlflow_database.exists()):
        return None
    try:
        if shown_store(tracking_uri, paths) is None:
            return None
    except ConfigurationError as error:
        return str(error)
    job = {
        "uri": f"sqlite:///{paths.mlflow_database}" if own else tracking_uri,
        "study": night.study,
        "after": night.started,
        "before": night.ended,
        "file": str(note),
        "title": title,
    }
    reply = ask("sweep.tracking.night_notes", job, WAIT_SECONDS)
    if reply.late:
        return f"MLflow did not answer within {WAIT_SECONDS:g} s"
    if reply.problem is not None or not reply.lines:
        return reply.problem or "the process that records it ended early"
    problem = reply.lines[0]
    return None if problem is None else str(problem)
