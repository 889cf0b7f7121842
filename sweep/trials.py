"""Finished trials on disk, by identity: the place where a trial becomes finished, whatever happens to the rest.

A folder appears whole or not at all, so a sweep that is killed at any moment neither loses a finished trial nor takes a
half-written one for finished. The same question is never paid for twice: identity covers all that changes a result.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.paths import Paths
from sweep.records import Status, TrialResult, to_json, trial_result_from_json

RESULT = "result.json"
SCORES = "scores.jsonl"
CONFIG = "config.yaml"
ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class ExampleFigures:
    """One example's negative log-likelihood (nats, summed over its completion's tokens), tokens, and task metric."""

    nats: float
    tokens: int
    score: float | None


class TrialStore:
    """The folders `mlruns/trials/xx/IDENTITY`, each with result.json, scores.jsonl, config.yaml and adapter/."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def folder(self, identity: str) -> Path:
        """Where the trial is, finished or not."""
        return self._paths.trial(identity)

    def find(self, identity: str) -> TrialResult | None:
        """The result, if this trial was finished before; None if not, or if its folder was damaged."""
        try:
            return trial_result_from_json(json.loads((self.folder(identity) / RESULT).read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def artifacts(self, result: TrialResult) -> tuple[Path, ...]:
        """The files and folders of a finished trial that are kept with its MLflow run; none of any other trial."""
        if result.status is not Status.COMPLETE:
            return ()
        folder = self.folder(result.spec.identity)
        return tuple(path for name in (ADAPTER, SCORES, RESULT, CONFIG) if (path := folder / name).exists())

    def scores(self, identity: str) -> list[ExampleFigures]:
        """What each scored example of a finished trial came to, in the order of the data."""
        lines = (self.folder(identity) / SCORES).read_text(encoding="utf-8").splitlines()
        return [ExampleFigures(row["nats"], row["tokens"], row["score"]) for row in map(json.loads, lines)]

    @contextmanager
    def writing(self, identity: str) -> Iterator[Path]:
        """A scratch folder; gone if the trial breaks, kept beside until `commit`."""
        scratch = self._scratch(identity)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def commit(self, result: TrialResult) -> None:
        """Makes the scratch folder the trial's folder, result included; call within `writing`."""
        identity = result.spec.identity
        scratch, folder = self._scratch(identity), self.folder(identity)
        (scratch / RESULT).write_text(json.dumps(to_json(result), indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)

    def _scratch(self, identity: str) -> Path:
        folder = self.folder(identity)
        return folder.with_name(f".{folder.name}.{os.getpid()}")
