"""The next steps, as commands to copy; the same in the terminal and on the page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from sweep.config.units import show_seconds
from sweep.console.command_line import interpreter, pasteable
from sweep.console.masking import mask
from sweep.records import StudyRecord
from sweep.store.paths import Paths
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.settle import with_values


@dataclass(frozen=True, slots=True)
class Step:
    """A command to copy, and its purpose."""

    command: str
    purpose: str = ""


def steps(record: StudyRecord, conclusion: Conclusion | None, paths: Paths, tracking_uri: str | None) -> Iterator[Step]:
    """Use the adapter, compare the runs, settle an open verdict or search on; nothing while no trial is complete.

    The commands work when pasted into the shell that started this process.
    """
    if not record.complete():
        return
    adapter = shown(paths.adapter(record.name))
    certified = conclusion is not None and conclusion.rank is not None
    which = "this adapter" if certified else "the best adapter so far, which is not certified"
    predict = f'python -m sweep.predict study={record.name} prompt="..."'
    yield Step(pasteable(predict), f"an answer with {which} ({adapter})")
    runs = open_runs(paths, tracking_uri)
    if runs is not None:
        yield Step(runs, "compare the runs")
    if conclusion is None:
        more = with_values(record.command, {"search.trials": str(2 * record.planned)})
        yield Step(pasteable(more), "search on from here")
    elif conclusion.settle is not None:
        command, seconds = conclusion.settle
        takes = f"about {show_seconds(seconds)}" if seconds > 0 else "nothing is trained"
        verdict = conclusion.verdict
        if _added(command, record.command) == {"evaluate.certify_examples"}:
            takes += ": existing adapters are evaluated on more examples"
        unsure = verdict is not None and verdict.needed is None and _added(command, record.command) == {"certify.seeds"}
        yield Step(pasteable(command), f"{'narrows' if unsure else 'settles'} what is open ({takes})")


def _added(command: str, before: str) -> set[str]:
    """The keys that the command adds or changes."""
    return {word.partition("=")[0] for word in {*shlex.split(command)} - {*shlex.split(before)}}


def open_runs(paths: Paths, tracking_uri: str | None) -> str | None:
    """The command that opens MLflow's pages; None if the runs are only in memory."""
    store = tracking_uri or f"sqlite:///{shown(paths.mlflow_database)}"
    if store.startswith("memory:"):
        return None
    # the package's own `mlflow` is on PATH only in an activated environment
    mlflow = "mlflow" if interpreter() == "python" else f"{interpreter()} -m mlflow"
    return f"{mlflow} ui --backend-store-uri {_quoted(mask(store))}"


def _quoted(address: str) -> str:
    """For a shell; `***` in place of a password stays readable, since it must be replaced anyway."""
    return address if "***" in address else shlex.quote(address)


def recorded_tracking(record: StudyRecord) -> str | None:
    """`tracking.uri` of the study's last run, its account masked; None for the database under `mlruns/`.

    Reads only this key, so that records of versions with other keys can be shown as well.
    """
    uri = (yaml.safe_load(record.config).get("tracking") or {}).get("uri")
    return None if uri is None else str(uri)


def shown(path: Path) -> str:
    """The path relative to the current folder if it is inside, else absolute."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
