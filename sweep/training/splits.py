"""Loads a task's splits from its configuration."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.errors import DataError
from sweep.records import TaskData
from sweep.store.paths import Paths
from sweep.training.sources import hub_answers
from tasks import DataProblems, RawSplits, Splits, registry, row_stream, scoring
from tasks.general import replay
from tasks.row_stream import RowStream
from tasks.splits import divide, with_replay
from tasks.understanding import Columns


def problems_of(task: TaskData) -> tuple[str, ...]:
    """Problems of the task's data; empty if it can be used."""
    try:
        load_splits(task, Paths.here())
    except DataError as error:
        return error.problems
    return ()


def load_splits(task: TaskData, paths: Paths) -> Splits:
    """Loads and checks the task's examples, and the general text for `train.replay`; divides validation into tune and certify.

    Raises:
        DataError: lists every problem with its file and line.
    """
    problems: list[str] = []
    splits, passages = None, None
    try:
        splits = divide(_raw(task, paths), task.tune_fraction)
        scoring.try_on(task.metric, splits)
    except DataProblems as error:
        problems += error.problems
    if task.replay is not None:
        try:
            passages = replay.load(Path(task.replay) if task.replay else None)
        except DataProblems as error:
            problems += error.problems
    if splits is None or problems:
        raise DataError(problems)
    return splits if passages is None else with_replay(splits, passages)


def stream_rows(task: TaskData, paths: Paths) -> RowStream:
    """The task's rows one after another: those of files with a few in memory at a time, others as loaded.

    Raises:
        DataError: they cannot be read; lists every problem that is known before all rows are read.
    """
    try:
        if task.kind == "jsonl":
            return row_stream.of_jsonl(Path(task.path or "."))
        if task.kind == "data":
            return row_stream.of_files(Path(task.path or "."), Columns(task.columns, task.group_column))
        return row_stream.of_splits(task.name, _raw(task, paths))
    except DataProblems as error:
        raise DataError(error.problems) from error


def _raw(task: TaskData, paths: Paths) -> RawSplits:
    if task.kind == "jsonl":
        from tasks import jsonl

        return jsonl.load(Path(task.path or "."))
    if task.kind == "data":
        from tasks import own_data

        return own_data.load(Path(task.path or "."), Columns(task.columns, task.group_column))
    if task.kind == "hub":
        return _from_hub(task, paths)
    return registry.load(task.name)


def _from_hub(task: TaskData, paths: Paths) -> RawSplits:
    dataset = str(task.dataset)
    if not Path(dataset).expanduser().exists() and not hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"  # `datasets` would retry for half a minute before it uses the cache
    from tasks import hub

    return hub.load(
        dataset,
        subset=task.subset,
        revision=task.revision,
        train_split=task.train_split,
        validation_split=task.validation_split,
        test_split=task.test_split,
        prompt_column=task.prompt_column,
        completion_column=task.completion_column,
        label_column=task.label_column,
        template=task.template,
        cache_dir=paths.root / "datasets",
    )
