"""What to do next, as commands to copy: the same in the terminal and on the page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from sweep.config.units import show_seconds
from sweep.console.masking import mask
from sweep.records import StudyRecord
from sweep.store.paths import Paths
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.settle import with_values


@dataclass(frozen=True, slots=True)
class Step:
    """A command to copy, and what it is for."""

    command: str
    purpose: str = ""


def steps(record: StudyRecord, conclusion: Conclusion | None, paths: Paths, tracking_uri: str | None) -> Iterator[Step]:
    """Ask the adapter, look at the runs, settle what is open or search on; nothing where no trial is complete."""
    if not record.complete():
        return
    adapter = shown(paths.adapter(record.name))
    certified = conclusion is not None and conclusion.rank is not None
    which = "this adapter" if certified else "the best adapter so far, which is not certified"
    yield Step(f'python -m sweep.predict study={record.name} prompt="..."', f"an answer with {which} ({adapter})")
    runs = open_runs(paths, tracking_uri)
    if runs is not None:
        yield Step(runs, "compare the runs")
    if conclusion is None:
        yield Step(with_values(record.command, {"search.trials": str(2 * record.planned)}), "search on from here")
    elif conclusion.settle is not None:
        command, seconds = conclusion.settle
        takes = f"about {show_seconds(seconds)}" if seconds > 0 else "nothing is trained"
        verdict = conclusion.verdict
        if _added(command, record.command) == {"evaluate.certify_examples"}:
            takes += ": the adapters that are there are scored on more examples"
        unsure = verdict is not None and verdict.needed is None and _added(command, record.command) == {"certify.seeds"}
        yield Step(command, f"{'narrows' if unsure else 'settles'} what is open ({takes})")


def _added(command: str, before: str) -> set[str]:
    """The keys that the command sets otherwise than the one before."""
    return {word.partition("=")[0] for word in {*shlex.split(command)} - {*shlex.split(before)}}


def open_runs(paths: Paths, tracking_uri: str | None) -> str | None:
    """The command that opens MLflow's pages; None where the runs are in memory."""
    store = tracking_uri or f"sqlite:///{shown(paths.mlflow_database)}"
    return None if store.startswith("memory:") else f"mlflow ui --backend-store-uri {mask(store)}"


def recorded_tracking(record: StudyRecord) -> str | None:
    """`tracking.uri` as the study was last run with, its account masked; None for the database under `mlruns/`.

    Read by itself: the rest of an older record may be of a version with other keys, which is no reason not to show it.
    """
    found = (yaml.safe_load(record.config).get("tracking") or {}).get("uri")
    return None if found is None else str(found)


def shown(path: Path) -> str:
    """The path as seen from where the person stands, if it is below."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
