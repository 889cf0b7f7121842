"""Every path the project writes to, all of them under one folder: `mlruns` in the working directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import ConfigurationError

ORIGIN = "goldilocks.json"
"""The file beside an adapter that names its base, and where the base was when the adapter was trained."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Paths:
    """The files under `mlruns/`.

    Attributes:
        root: the absolute path of `mlruns`.
    """

    root: Path

    @classmethod
    def here(cls, folder: str | Path = "mlruns") -> Paths:
        """The paths below `folder`, relative to the working directory."""
        return cls(Path(folder).expanduser().absolute())

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def journals(self) -> Path:
        """Records that are not in MLflow's store yet."""
        return self.root / "tracking"

    @property
    def optuna_database(self) -> Path:
        return self.root / "optuna.db"

    @property
    def models(self) -> Path:
        return self.root / "models"

    def lock(self, study: str) -> Path:
        """The lock that a running sweep of this study holds."""
        return self.root / "locks" / f"{checked_name(study)}.lock"

    def adapter_lock(self, identity: str) -> Path:
        """The lock that the process holds which trains this adapter."""
        return self.root / "locks" / "adapters" / f"{checked_name(identity)}.lock"

    @property
    def gc_lock(self) -> Path:
        """The lock that `sweep.gc` holds while it removes."""
        return self.root / "locks" / "gc" / "gc.lock"

    @property
    def pins(self) -> Path:
        """Adapters that are never removed, with the reason."""
        return self.root / "pinned.json"

    @property
    def removals(self) -> Path:
        """What `sweep.gc` has removed, one JSON object per line."""
        return self.root / "removed.jsonl"

    @property
    def stores(self) -> tuple[Path, Path, Path]:
        """The folders of all trials, adapters and score caches; in each, two letters of an identity, then the identity."""
        return self.root / "trials", self.root / "adapters", self.root / "scores"

    def trial(self, identity: str) -> Path:
        """The folder of a finished trial: result.json, scores.jsonl and config.yaml."""
        return self.root / "trials" / identity[:2] / checked_name(identity)

    def trained_adapter(self, identity: str) -> Path:
        """A trained adapter and the record of its training."""
        return self.root / "adapters" / identity[:2] / checked_name(identity)

    def scores(self, adapter: str) -> Path:
        """The cached example outcomes of an adapter, or of the unadapted base."""
        return self.root / "scores" / adapter[:2] / checked_name(adapter)

    def log(self, study: str) -> Path:
        """The output of the workers, tracebacks included."""
        return self.root / "logs" / f"{checked_name(study)}.log"

    def report(self, study: str) -> Path:
        return self.root / "reports" / checked_name(study)

    def page(self, study: str) -> Path:
        """The report for a browser."""
        return self.report(study) / "index.html"

    def changed_answers(self, study: str) -> Path:
        """The test examples that base and chosen adapter answer differently, as a table for MLflow."""
        return self.report(study) / "changed_answers.json"

    def data_page(self, study: str) -> Path:
        """The report on the study's data, for a browser."""
        return self.report(study) / "data.html"

    def adapter(self, study: str) -> Path:
        """The chosen adapter in PEFT's own format."""
        return self.report(study) / "adapter"

    def verdict(self, study: str) -> Path:
        return self.report(study) / "verdict.json"

    def morning_note(self, study: str) -> Path:
        """The note on the study's latest night, beside its report."""
        return self.report(study) / "morning.md"

    @property
    def nightly(self) -> Path:
        """Everything about studies that run on a schedule."""
        return self.root / "nightly"

    @property
    def nights_database(self) -> Path:
        """The ledger of nights."""
        return self.nightly / "nights.db"

    @property
    def nights_page(self) -> Path:
        """All nights, for a browser."""
        return self.nightly / "index.html"

    def night_note(self, schedule: str, date: str, study: str | None = None) -> Path:
        """The morning note on a night of a schedule; `date` is YYYY-MM-DD.

        Args:
            study: of a night in which the schedule ran several studies, those after the first.
        """
        name = checked_name(date if study is None else f"{date}-{study}")
        return self.nightly / "notes" / checked_name(schedule) / f"{name}.md"

    def night_log(self, schedule: str, date: str) -> Path:
        """The output of the studies of a night; `date` is YYYY-MM-DD."""
        return self.nightly / "logs" / checked_name(schedule) / f"{checked_name(date)}.log"

    @property
    def schedules(self) -> Path:
        """The schedules that are installed, one file each."""
        return self.nightly / "schedules"

    def schedule(self, name: str) -> Path:
        return self.schedules / f"{checked_name(name)}.json"

    @property
    def open_nights(self) -> Path:
        """The nights that have begun and are not in the ledger yet."""
        return self.nightly / "open.json"

    @property
    def tick_lock(self) -> Path:
        """Which process runs the studies of this night."""
        return self.nightly / "lock"

    @property
    def night_error(self) -> Path:
        """The error with which the study of this night ended, until the tick has read it."""
        return self.nightly / "error.txt"

    @property
    def tick_log(self) -> Path:
        """What ticks print that cron starts."""
        return self.nightly / "tick.log"

    def champions(self, study: str) -> Path:
        """The history of the adapters that were in use, one folder per entry."""
        return self.root / "champions" / checked_name(study)

    def champion_entry(self, study: str, number: int) -> Path:
        """An entry of that history: entry.json, and of one that brought an adapter rows.json and adapter/."""
        return self.champions(study) / f"{number:04}"

    def champion_link(self, study: str) -> Path:
        """A link to the adapter that is in use."""
        return self.champions(study) / "adapter"

    def champion_recording(self, study: str) -> Path:
        """How much of that history MLflow has."""
        return self.champions(study) / "recording.json"

    def drift(self, study: str) -> Path:
        """What the champion's losses were on the data of each night, one JSON object per line."""
        return self.champions(study) / "drift.jsonl"

    def refresh_log(self, study: str) -> Path:
        """What runs of `refresh` trained, one JSON object per line."""
        return self.champions(study) / "refresh.jsonl"

    def drift_picture(self, study: str) -> Path:
        return self.champions(study) / "drift.svg"

    def champions_lock(self, study: str) -> Path:
        """The lock that a process holds which adds an entry."""
        return self.root / "locks" / "champions" / f"{checked_name(study)}.lock"


def checked_name(name: str) -> str:
    """The name, if it is safe as a file name.

    Raises:
        ConfigurationError: the name is not a plain file name, or could lead out of its folder.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigurationError(
            f"'{name}' cannot be a name here: use letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 100 characters"
        )
    return name
