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

    def data_page(self, study: str) -> Path:
        """The report on the study's data, for a browser."""
        return self.report(study) / "data.html"

    def adapter(self, study: str) -> Path:
        """The chosen adapter in PEFT's own format."""
        return self.report(study) / "adapter"

    def verdict(self, study: str) -> Path:
        return self.report(study) / "verdict.json"

    @property
    def nightly(self) -> Path:
        """What belongs to studies that run at night."""
        return self.root / "nightly"

    @property
    def schedules(self) -> Path:
        return self.nightly / "schedules"

    def schedule(self, name: str) -> Path:
        return self.schedules / f"{checked_name(name)}.json"

    @property
    def nights_database(self) -> Path:
        return self.nightly / "nights.db"

    @property
    def open_nights(self) -> Path:
        """The nights that have begun and are not in the ledger yet."""
        return self.nightly / "open.json"

    @property
    def tick_lock(self) -> Path:
        """Which process runs the studies of this night."""
        return self.nightly / "lock"

    @property
    def tick_log(self) -> Path:
        """What ticks print that a scheduler starts without a log of its own."""
        return self.nightly / "tick.log"

    def night_logs(self, schedule: str) -> Path:
        """The folder with the output of a schedule's studies, one file a night."""
        return self.nightly / "logs" / checked_name(schedule)

    def night_notes(self, schedule: str) -> Path:
        """The folder with a schedule's morning notes, one file a night."""
        return self.nightly / "notes" / checked_name(schedule)


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
