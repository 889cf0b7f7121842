"""Loading the splits of a configured task."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import DataError
from sweep.store.paths import Paths
from sweep.training.splits import load_splits
from tasks import DataProblems, RawSplits, Splits
from tests.conftest import ROWS


def splits_of(*overrides: str) -> Splits:
    return load_splits(composed_plan(overrides).setup.task, Paths.here())


def test_own_folder_is_divided_and_nothing_is_lost(made_task: Path) -> None:
    splits = splits_of("task=jsonl", f"task.path={made_task}")
    assert (len(splits.train), len(splits.test)) == (ROWS["train"], ROWS["test"])
    assert len(splits.tune) + len(splits.certify) == ROWS["validation"]
    assert splits.tune
    assert splits.certify
    assert splits.warnings == ()


def test_what_the_search_may_see_is_part_of_the_data_hash(made_task: Path) -> None:
    half, most = (
        splits_of("task=jsonl", f"task.path={made_task}", f"task.tune_fraction={share}") for share in (0.5, 0.8)
    )
    assert len(half.tune) < len(most.tune)
    assert half.data_hash != most.data_hash


def test_same_rows_elsewhere_are_the_same_data(made_task: Path) -> None:
    before = splits_of("task=jsonl", f"task.path={made_task}")
    moved = made_task.rename(made_task.with_name("moved"))
    assert splits_of("task=jsonl", f"task.path={moved}").data_hash == before.data_hash


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        splits_of("task=jsonl", f"task.path={tmp_path / 'nowhere'}")


def test_a_data_set_of_the_hub_is_loaded_as_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: dict[str, object] = {}

    def load(dataset: str, **options: object) -> RawSplits:
        requested.update(options, dataset=dataset)
        raise DataProblems(["reached"])

    monkeypatch.setattr("tasks.hub.load", load)
    monkeypatch.chdir(tmp_path)
    options = {
        "subset": "small",
        "revision": "main",
        "train_split": "a",
        "validation_split": "b",
        "test_split": "c",
        "prompt_column": "p",
        "completion_column": "q",
        "label_column": "r",
        "template": "s",
    }
    with pytest.raises(DataError, match="reached"):
        splits_of("task=hub", f"task.dataset={tmp_path}", *(f"task.{key}={value}" for key, value in options.items()))
    assert requested == {**options, "dataset": str(tmp_path), "cache_dir": tmp_path / "mlruns" / "datasets"}
