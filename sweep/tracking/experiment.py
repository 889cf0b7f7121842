"""What MLflow's page of an experiment shows before a run is opened: its description and its saved views."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mlflow import MlflowClient

from sweep.tracking import names
from sweep.tracking.port import Summary
from sweep.tracking.views import view_tags

NEW_EXPERIMENT: Mapping[str, str] = {"mlflow.experimentKind": "custom_model_development"}
"""The tags of a new experiment: its page begins with the runs, and does not ask what kind of experiment it is."""

_WRITTEN = "sweep.note_sha256"
"""Hashes of the last two descriptions that sweeps wrote, to know them from one that a person has changed."""


def describe(client: MlflowClient, experiment: str, run_id: str, summary: Summary) -> None:
    """Writes the description and the views. A description that a person has changed stays, and so does every view that exists."""
    if not summary.note and not summary.metric:
        return
    known: Mapping[str, str] = client.get_experiment(experiment).tags
    wanted: dict[str, str] = {}
    if summary.note:
        text = summary.note.replace("{experiment}", experiment).replace("{run}", run_id)
        text, present = names.shortened(text, names.LONGEST_TAG), known.get(names.NOTE, "")
        if text != present and (not present or _hash(present) in known.get(_WRITTEN, "")):
            # in this order: a sweep that is killed in between knows either text as a sweep's
            wanted |= {_WRITTEN: f"{_hash(present)} {_hash(text)}", names.NOTE: text}
    if summary.metric:
        wanted |= {key: value for key, value in view_tags(summary.metric, summary.when).items() if key not in known}
    for key, value in wanted.items():
        if known.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
