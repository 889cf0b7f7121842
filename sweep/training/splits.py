"""From the words of the configuration to a task's splits."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.errors import ConfigurationError, DataError
from sweep.records import TaskData
from sweep.store.paths import Paths
from sweep.training.sources import hub_answers
from tasks import DataProblems, RawSplits, Splits
from tasks.splits import divide


def problems_of(task: TaskData) -> tuple[str, ...]:
    """What is wrong with the task's data; empty if it can be used."""
    try:
        load_splits(task, Paths.here())
    except DataError as error:
        return error.problems
    return ()


def load_splits(task: TaskData, paths: Paths) -> Splits:
    """The task's examples, checked, validation divided into tune and certify.

    Raises:
        DataError: with every problem that was found, each naming file and line.
    """
    try:
        return divide(_raw(task, paths), task.tune_fraction)
    except DataProblems as error:
        raise DataError(error.problems) from error


def _raw(task: TaskData, paths: Paths) -> RawSplits:
    if task.kind == "jsonl":
        from tasks import jsonl

        return jsonl.load(Path(task.path or "."))
    if task.kind == "hub":
        return _from_hub(task, paths)
    if task.name == "pharma":
        from tasks import jsonl, pharma

        return jsonl.load(pharma.DATA)
    raise ConfigurationError(f"task.name={task.name}: there is no built-in task of this name (known: pharma)")


def _from_hub(task: TaskData, paths: Paths) -> RawSplits:
    dataset = str(task.dataset)
    if not Path(dataset).expanduser().exists() and not hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"  # answers from the cache at once instead of retrying for half a minute
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
