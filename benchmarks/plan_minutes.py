"""The minutes that `plan` predicts, against those that studies took.

    python -m benchmarks.plan_minutes --stores FOLDER [FOLDER ...] [--studies NAME ...] [--out FILE]

FOLDERs are `mlruns` of studies that ended on this machine; nothing in them is changed. Each study is planned with the configuration that
it was run with, as if it were new, in up to three ways:

- products: from a matrix product that is timed now, as on a machine where nothing was ever run (the machine has to be as free as it was for
  the studies);
- others: from the trials of the other folders, as for the next study on a machine;
- measured: from the trials of `plan --measure`, if the folder has some.

A study took what its runs took in MLflow, from the loading of the base to the report; fetching or converting the base is not planned, so
it should have been there. A prediction is right if the study took at most 30 % more or less than its middle. Ends with status 1 if one is
not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.plan_minutes_table import minutes_table
from sweep.commands.planning.outlook import CALIBRATION, Outlook, outlook
from sweep.commands.planning.speeds import measured_products
from sweep.config.load import plan_of_record, with_steps
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan
from sweep.search.reading import studies_of, study_names
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from sweep.training.machine import quiet_libraries
from sweep.training.splits import load_splits
from tasks import Splits

BAR = 0.3
"""The study may have taken this share more or less than planned."""

PRODUCTS, OTHERS, MEASURED = SOURCES = ("products", "others", "measured")


@dataclass(frozen=True, slots=True)
class Prediction:
    """A study as planned and as it was.

    Attributes:
        source: what the plan's speeds come from: `products`, `others` or `measured`.
        low, middle, high: planned seconds.
        took: seconds of its runs.
        same_data: whether the task's data is still what the study was run with.
    """

    study: str
    source: str
    low: float
    middle: float
    high: float
    took: float
    same_data: bool

    @property
    def is_right(self) -> bool:
        """Whether the study took about what was planned."""
        return abs(self.took / self.middle - 1) <= BAR


def copied(store: Path, folder: Path) -> Paths:
    """The databases of a store in a folder of their own, so that reading them changes nothing in the store."""
    folder.mkdir(parents=True)
    for file in store.glob("*.db*"):
        if not file.name.endswith(".lock"):
            shutil.copy(file, folder)
    return Paths(folder)


def seconds_taken(database: Path, study: str) -> float:
    """Seconds of a study's runs in MLflow's database that ended by themselves.

    Raises:
        LookupError: there is none.
    """
    query = (
        "select sum(runs.end_time - runs.start_time) / 1000.0 from runs join experiments using (experiment_id) "
        "where experiments.name = ? and runs.status = 'FINISHED' and runs.run_uuid not in "
        "(select run_uuid from tags where key = 'mlflow.parentRunId')"
    )
    with closing(sqlite3.connect(database)) as connection:
        (seconds,) = connection.execute(query, (study,)).fetchone()
    if seconds is None:
        raise LookupError(f"{study}: MLflow has no finished run of it")
    return float(seconds)


def predictions_of(
    store: Path, others: Sequence[Path], studies: Sequence[str], sources: Sequence[str] = SOURCES
) -> Iterator[Prediction]:
    """Each study of a store, as planned in each way."""
    with tempfile.TemporaryDirectory(prefix="goldilocks-plans-") as scratch:
        read = copied(store, Path(scratch) / "mlruns")
        with existing_storage(None, read) as storage:
            names = [name for name in study_names(storage) if not studies or name in studies]
            records = {name: studies_of(storage, name)[0] for name in names}
        for name, record in records.items():
            try:
                took = seconds_taken(read.mlflow_database, name)
                plan = plan_of_record(record.config)
            except (LookupError, ConfigurationError) as problem:
                print(f"{store}: {name} is left out: {problem}", file=sys.stderr)
                continue
            splits = load_splits(plan.setup.task, Paths(store))
            plan = with_steps(plan, len(splits.train))
            for source in sources:
                if view := planned(plan, splits, store, others, source):
                    yield Prediction(name, source, *view.total(), took, splits.data_hash == record.data_hash)


def planned(plan: StudyPlan, splits: Splits, store: Path, others: Sequence[Path], source: str) -> Outlook | None:
    """The plan of a study as if it were new; None if there is nothing of this kind to plan from."""
    if source == PRODUCTS:
        return outlook(plan, splits, Paths(store), None, stores=[], speeds=measured_products(plan.setup))
    stores = others if source == OTHERS else [store / CALIBRATION]
    view = outlook(plan, splits, Paths(store), None, stores=[Paths(each) for each in stores])
    return view if view.speeds is not None and view.speeds.measured else None


def main() -> int:
    """Plans and compares; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_minutes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--stores", type=Path, nargs="+", required=True, help="mlruns of studies that ended here")
    parser.add_argument("--studies", nargs="+", default=[], help="only these")
    parser.add_argument("--out", type=Path, help="the file to write, such as benchmarks/results/plan_minutes.json")
    parser.add_argument("--sources", nargs="+", default=SOURCES, choices=SOURCES, help="only planned from these")
    arguments = parser.parse_args()
    quiet_libraries()
    stores = [store.absolute() for store in arguments.stores]
    predictions = [
        each
        for store in stores
        for each in predictions_of(
            store, [other for other in stores if other != store], arguments.studies, arguments.sources
        )
    ]
    results = {"kind": "plan_minutes", "machine": machine("cpu"), "bar": BAR}
    results |= {"predictions": [asdict(each) for each in predictions]}
    print(minutes_table(results))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(each.is_right for each in predictions) else 1


if __name__ == "__main__":
    sys.exit(main())
