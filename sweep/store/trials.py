"""Finished trials on disk, by identity: the place where a trial becomes finished, whatever happens to the rest.

A folder appears whole or not at all, so a sweep that is killed at any moment neither loses a finished trial nor takes a
half-written one for finished. The same question is never paid for twice: identity covers all that changes a result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.records import TrialResult, TrialSpec, to_json, trial_result_from_json
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.paths import Paths
from sweep.store.whole_folder import commit, damage, scratch_for, set_aside

RESULT = "result.json"
SCORES = "scores.jsonl"
CONFIG = "config.yaml"


@dataclass(frozen=True, slots=True)
class ExampleFigures:
    """One example's negative log-likelihood (nats, summed over its completion's tokens), tokens, and task metric."""

    nats: float
    tokens: int
    score: float | None


class TrialStore:
    """The folders `mlruns/trials/xx/IDENTITY`, each with result.json, scores.jsonl and config.yaml.

    Args:
        note: called with one line for a person when a damaged folder was set aside.

    Attributes:
        adapters: the adapters that trials have trained.
    """

    def __init__(self, paths: Paths, note: Callable[[str], None] = print) -> None:
        self._paths = paths
        self._note = note
        self.adapters = AdapterStore(paths, note)

    def folder(self, identity: str) -> Path:
        """Where the trial is, finished or not."""
        return self._paths.trial(identity)

    def adapter_folder(self, spec: TrialSpec) -> Path:
        """The adapter that a trial has trained or scored; earlier versions kept it in the trial's own folder."""
        folder = self.adapters.folder(spec.adapter_id)
        return folder if folder.is_dir() else self.folder(spec.adapter_of or spec.identity) / ADAPTER

    def find(self, identity: str) -> TrialResult | None:
        """The result, if this trial was finished before and is whole; a damaged folder is set aside."""
        folder = self.folder(identity)
        if not folder.is_dir():
            return None
        wrong = damage(folder)
        if wrong is None:
            try:
                result = trial_result_from_json(json.loads((folder / RESULT).read_text(encoding="utf-8")))
                scored = len(self.scores(identity))
                if result.measures is not None and result.measures.examples == scored:
                    return result
                wrong = f"{SCORES} holds {scored} examples"
            except (OSError, ValueError, KeyError, TypeError) as error:
                wrong = f"it cannot be read ({type(error).__name__})"
        aside = set_aside(folder)
        self._note(f"a finished trial is damaged ({wrong}); it was set aside as {aside} and is run again")
        return None

    def scores(self, identity: str) -> list[ExampleFigures]:
        """What each scored example of a finished trial came to, in the order of the data.

        Raises:
            OSError, ValueError, KeyError, TypeError: the file is missing or damaged.
        """
        lines = (self.folder(identity) / SCORES).read_text(encoding="utf-8").split("\n")
        return [
            ExampleFigures(row["nats"], row["tokens"], row["score"]) for row in map(json.loads, filter(None, lines))
        ]

    def artifacts(self, result: TrialResult) -> tuple[Path, ...]:
        """The files and folders of a finished trial that are kept with its MLflow run."""
        folder = self.folder(result.spec.identity)
        files = [folder / RESULT, folder / SCORES, folder / CONFIG]
        if result.spec.arm is not None and result.spec.adapter_of is None:
            files.append(self.adapter_folder(result.spec))
        return tuple(file for file in files if file.exists())

    @contextmanager
    def writing(self, identity: str) -> Iterator[Path]:
        """A scratch folder for the trial's files; gone at the end of the block unless it was committed."""
        with scratch_for(self.folder(identity)) as scratch:
            yield scratch

    def commit(self, scratch: Path, result: TrialResult) -> None:
        """Makes the scratch folder the trial's, result included; call within `writing`."""
        (scratch / RESULT).write_text(json.dumps(to_json(result), indent=1), encoding="utf-8")
        commit(scratch, self.folder(result.spec.identity))
