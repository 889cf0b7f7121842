"""A small study that is killed at any write to Optuna's database and continued ends like an undisturbed one.

A killed process leaves the database as of its last commit; `driven` counts the commits that change something.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweep.search.reading import studies_of
from sweep.search.storage import open_storage
from sweep.store.paths import Paths
from tests.study.driven import Killed, Trained, essence, killed_at, planned, run

KINDS: Mapping[str, Sequence[str]] = {
    "random": (),
    "tpe": ("sampler=tpe", "++search.sampler_options={n_startup_trials:2}", "search.trials=8"),
    "pruned": ("pruner=median", "search.pruner_options.n_startup_trials=1", "search.space.rank=[8]", "search.trials=8"),
    "qmc": ("sampler=qmc", "search.trials=8"),
    "grid": ("sampler=grid",),
    "train": ("certify.ladder_by=train",),
    "open": ("certify.ladder_by=train", "certify.ladder=[8,32]", "certify.margin=3e-3"),
    "confirm": ("certify.ladder=[4,8]", "certify.confirm=true"),
    "arms": ("search.arms=[{r: 2, dropout: 0.05}, {r: 8, learning_rate: 2e-3}]",),
}
FAST = ("random", "pruned", "confirm")
WRITES = 37
"""Writes of the study `random`, without those that create the database."""


Undisturbed = Callable[[str], tuple[Mapping[str, Any], int]]


@pytest.fixture(scope="module")
def undisturbed(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The result of a kind of study, and its number of writes."""

    @cache
    def end_of(kind: str) -> tuple[Mapping[str, Any], int]:
        paths = Paths(tmp_path_factory.mktemp("undisturbed"))
        shutil.copy(empty_database, paths.optuna_database)
        with killed_at(sys.maxsize, die) as writes:
            record = run(paths, planned(*KINDS[kind]))
        return essence(record), writes[0]

    return end_of


def die() -> None:
    raise Killed


def killed_runs(folder: Path, kind: str, empty_database: Path, *writes: int) -> Mapping[str, Any]:
    """Runs the study once for each write, killing it there, then to its end."""
    paths = Paths(folder / "mlruns")
    paths.root.mkdir()
    shutil.copy(empty_database, paths.optuna_database)
    plan, trained = planned(*KINDS[kind]), Trained()
    for write in writes:
        with killed_at(write, die), pytest.raises(Killed):
            run(paths, plan, trained)
        readable(paths)
    record = run(paths, plan, trained)
    # with a pruner, a kill at a report hits a trial in training, which is trained again
    assert set(trained.times.values()) == {1} or kind == "pruned", "a finished trial was trained again"
    assert nothing_is_running(paths)
    return essence(record)


def readable(paths: Paths) -> None:
    """Checks that a killed run has left a study that can be read, or none."""
    storage = open_storage(None, paths)
    if any(summary.user_attrs for summary in storage.get_all_studies()):
        studies_of(storage, "driven")
    storage.remove_session()
    storage.engine.dispose()


def nothing_is_running(paths: Paths) -> bool:
    storage = open_storage(None, paths)
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    storage.remove_session()
    storage.engine.dispose()
    return all(trial.state not in (TrialState.RUNNING, TrialState.WAITING) for trial in trials)


def some(writes: range, step: int) -> list[Any]:
    """All values; the fast suite takes every `step`-th."""
    return [pytest.param(write, marks=[pytest.mark.slow] if write % step else []) for write in writes]


@pytest.mark.parametrize("write", some(range(WRITES), 9))
def test_killed_at_a_write(write: int, undisturbed: Undisturbed, empty_database: Path, tmp_path: Path) -> None:
    end, writes = undisturbed("random")
    assert writes == WRITES
    assert killed_runs(tmp_path, "random", empty_database, write) == end


@pytest.mark.parametrize("seed", some(range(8), 8))
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in FAST)) for kind in KINDS])
def test_killed_again_and_again(
    kind: str, seed: int, undisturbed: Undisturbed, empty_database: Path, tmp_path: Path
) -> None:
    """Each run gets a little further than the last one: its first writes repair what the last one left."""
    draw = random.Random(f"{kind} {seed}")
    end, writes = undisturbed(kind)
    kills = [draw.randrange(4, 8) for _ in range(writes // 8)]
    assert killed_runs(tmp_path, kind, empty_database, *kills) == end


@pytest.fixture
def more_examples_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study begins with 16 certify examples, and evaluates 32 after its last look, which is open."""
    monkeypatch.setattr("sweep.study.examples.first_examples", lambda *_: 16)
    monkeypatch.setattr(
        "sweep.study.next_step.more_examples", lambda plan, record, verdict: 32 if verdict.examples < 32 else None
    )


@pytest.mark.parametrize("seed", some(range(8), 8))
def test_killed_while_examples_are_added(
    seed: int, more_examples_are_wanted: None, empty_database: Path, tmp_path: Path
) -> None:
    paths = Paths(tmp_path / "undisturbed")
    paths.root.mkdir()
    shutil.copy(empty_database, paths.optuna_database)
    with killed_at(sys.maxsize, die) as writes:
        end = essence(run(paths, planned(*KINDS["open"])))
    assert end["examples"] == (32, ((2, 16),))
    assert {len(nats) for _, nats, _ in end["ladder"]} == {32}
    last = writes[0] - 1 - seed  # the last trials of the ladder are those that are evaluated again
    assert killed_runs(tmp_path, "open", empty_database, last - 6, 2) == end


@pytest.mark.parametrize(
    "write", [pytest.param(write, marks=[pytest.mark.slow] * (write != 9)) for write in (0, 9, 30)]
)
def test_a_killed_process(write: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The killed process also creates the database."""
    words = [sys.executable, "-m", "tests.study.driven", str(tmp_path), str(write)]
    killed = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == 9, killed.stderr
    paths, trained = Paths(tmp_path), Trained()
    readable(paths)
    assert essence(run(paths, planned(), trained)) == undisturbed("random")[0]
    assert nothing_is_running(paths)
