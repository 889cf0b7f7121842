"""The study that faults are injected into: small, complete (search, rates, ladder, test), and the same every time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from benchmarks.machine import ROOT

NAME = "faults"
DATA = "data"
"""The data set's folder, in the folder of the study."""

_ROWS = {"train": 24, "validation": 32, "test": 12}
_COLOURS = ("red", "grün", "青")
"""Not all of them ASCII, so that every path is gone with such text."""

WORDS = (
    f"study.name={NAME}",
    "model=tiny",
    "task=jsonl",
    f"task.path={DATA}",
    "task.metric=exact_match",
    "train.steps=8",
    "train.batch_size=4",
    "train.learning_rate=2e-2",
    "search.space.learning_rate.low=5e-3",
    "search.space.learning_rate.high=8e-2",
    "search.trials=3",
    "search.space.rank=[2,4]",
    "search.space.targets=[all_linear]",
    "lora.targets=all_linear",
    "evaluate.examples=12",
    "evaluate.certify_examples=12",
    "evaluate.test_examples=10",
    "evaluate.general_paragraphs=1",
    "evaluate.max_new_tokens=4",
    "executor.workers=1",
    "executor.threads=1",
    "certify.ladder=[2,4]",
    "certify.seeds=3",
    "certify.rate_trials=2",
    "certify.margin=0.5",
)


def make_data(folder: Path) -> None:
    """Writes the data set: the colour stands in the prompt, so that any model can learn it."""
    folder.mkdir(parents=True)
    for split, count in _ROWS.items():
        colours = [_COLOURS[number % len(_COLOURS)] for number in range(count)]
        rows = [
            {"prompt": f"{split} {number}: the {colour} box", "completion": colour}
            for number, colour in enumerate(colours)
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def make_empty_store(file: Path) -> None:
    """MLflow's database with its tables, which take seconds to make, and nothing else in it."""
    program = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
    quiet = {"MLFLOW_LOGGING_LEVEL": "CRITICAL", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{file}"],
        check=True,
        env={**os.environ, **quiet, "PYTHONPATH": str(ROOT)},
        cwd=file.parent,
    )


def lay_out(folder: Path, store: Path) -> None:
    """A folder where the study has not been run: its data, and MLflow's empty database."""
    make_data(folder / DATA)
    (folder / "mlruns").mkdir()
    shutil.copy(store, folder / "mlruns" / "mlflow.db")


def copy(source: Path, target: Path) -> None:
    """Copies a study's folder as if it had been run there: MLflow keeps absolute paths to artifacts."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    with closing(sqlite3.connect(target / "mlruns" / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",  # noqa: S608 (both names are ours)
                (source.as_uri(), target.as_uri()),
            )
