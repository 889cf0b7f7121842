"""What a soak has left: records, databases and files, beside those of the same work without any disturbance."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night
from sweep.nightly.open_nights import read
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.paths import Paths
from tests.commands.test_refresh import WORDS
from tests.faults.conftest import Sweep
from tests.nightly.soak.play import Played
from tests.nightly.soak.world import GROWING, ROLLING, SEARCH, World

_RUNS = """
SELECT status, max(CASE WHEN key = 'sweep.study' THEN value END), max(CASE WHEN key = 'sweep.trial' THEN value END),
max(CASE WHEN key = 'mlflow.parentRunId' THEN value END)
FROM runs LEFT JOIN tags ON tags.run_uuid = runs.run_uuid WHERE lifecycle_stage = 'active' GROUP BY runs.run_uuid
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What was done for the studies.

    Attributes:
        history: the champion's: of each entry its event, version, rank, trial, tests, promotions and data.
        drift: of each point the version, data, condition and losses.
        losses: of every finished trial, by identity.
    """

    history: Sequence[tuple[Any, ...]]
    drift: Sequence[tuple[Any, ...]]
    losses: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end of a soak.

    Attributes:
        work, undisturbed: what was done, and what the same data and configurations lead to where nothing is disturbed.
        search_trials: the states of the search's trials in Optuna, with their numbers.
        asked: how many it was asked for.
        runs: of each MLflow run its status, its study, its trial's identity and its sweep's run; a sweep's own run has no trial.
        spooled: files that wait to be recorded.
        open: the nights that are not over.
        notes: the titles of the notes that were received, in order.
        logs: all output of ticks and studies.
    """

    played: Sequence[Played]
    nights: Mapping[str, Sequence[Night]]
    work: Work
    undisturbed: Work
    search_trials: Mapping[str, int]
    asked: int
    runs: Sequence[tuple[str, str | None, str | None, str | None]]
    spooled: Sequence[str]
    open: Sequence[str]
    notes: Sequence[str]
    logs: Mapping[str, str]


def gathered(world: World, played: Sequence[Played]) -> Evidence:
    """Reads everything, and does the same work undisturbed."""
    ledger, paths = Ledger(world.paths.nights_database), world.paths
    logs = {str(file.relative_to(paths.root)): file.read_text(errors="replace") for file in paths.root.rglob("*.log")}
    outputs = {
        f"tick {number} of {each.date}": tick.output
        for each in played
        for number, tick in enumerate(each.ticks, start=1)
    }
    return Evidence(
        played,
        {name: ledger.nights(name) for name in (ROLLING, SEARCH)},
        _work(paths),
        _undisturbed(world),
        dict(world.postgres.execute("optuna", "SELECT state, count(*) FROM trials GROUP BY state")),
        world.trials,
        [*_runs(paths.mlflow_database), *_runs(world.folder.parent / "mlflow.db")],
        [str(file.relative_to(paths.root)) for file in (paths.root / "tracking").rglob("*") if file.is_file()],
        [night.schedule for night in read(paths)],
        [str(content["title"]) for _, content in world.posts],
        {**logs, **outputs},
    )


def _work(paths: Paths) -> Work:
    history = [
        (each.event.value, each.version, each.rank, each.trial, each.tests, each.promotions, each.data_hash)
        for each in Champions(paths, ROLLING).entries()
    ]
    drift = [
        (each.version, each.data_hash, each.condition, *(round(loss, 5) for loss in (each.old, each.new)))
        for each in DriftLog(paths.drift(ROLLING)).points()
    ]
    results = [file for file in (paths.root / "trials").glob("*/*/result.json") if not file.parent.name.startswith(".")]
    losses = {}
    for file in results:
        result = json.loads(file.read_text())
        if result["status"] == "complete":
            losses[file.parent.name] = result["measures"]["loss"]
    return Work(history, drift, losses)


def _undisturbed(world: World) -> Work:
    folder = world.folder.parent / "undisturbed"
    folder.mkdir()
    data = folder / "data"
    for version in world.versions:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(version, data)
        done = Sweep(folder, data).run_here(*WORDS, f"study.name={ROLLING}", module="sweep.refresh")
        assert done.returncode == 0, done.stdout
    search = Sweep(folder, world.folder.parent / "search-data")
    done = search.run_here(*GROWING, f"study.name={SEARCH}", f"search.trials={world.trials}")
    assert done.returncode == 0, done.stdout
    return _work(Paths(folder / "mlruns"))


def _runs(database: Path) -> list[tuple[str, str | None, str | None, str | None]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return [(str(status), *tags) for status, *tags in opened.execute(_RUNS)]
