"""The splits of a study's data as MLflow shows them: name, hash, number of rows, source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from sweep.records import StudyPlan, TaskData
from sweep.tracking import DataSet
from tasks import Example, Splits, split_hash


def data_sets(plan: StudyPlan, splits: Splits) -> tuple[DataSet, ...]:
    """Train, tune, certify and test. The hash of a split is of its rows alone, so it changes when they do."""
    rows = {"train": splits.train, "tune": splits.tune, "certify": splits.certify, "test": splits.test}
    return tuple(_data_set(plan.setup.task, split, examples) for split, examples in rows.items())


def _data_set(task: TaskData, split: str, examples: Sequence[Example]) -> DataSet:
    kinds = Counter(example.kind for example in examples if example.kind)
    return DataSet(
        name=f"{task.name}-{split}",
        split=split,
        sha256=split_hash(examples),
        rows=len(examples),
        kinds=dict(sorted(kinds.items())),
        source_kind="hf" if task.kind == "hub" else "local",
        source=json.dumps(_source(task)),
    )


def _source(task: TaskData) -> dict[str, str]:
    """Where the rows come from, in the words of MLflow's sources."""
    if task.kind == "hub":
        named = {"path": task.dataset, "config_name": task.subset, "revision": task.revision}
        return {key: str(value) for key, value in named.items() if value is not None}
    return {"uri": task.path or f"tasks/{task.name}"}
