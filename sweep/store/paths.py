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
