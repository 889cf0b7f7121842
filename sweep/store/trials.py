"""Finished trials on disk, by identity. A trial is finished once its folder is here.

A folder appears complete or not at all, so a sweep that is killed at any moment neither loses a finished trial nor takes a
half-written one for finished. An identity covers everything that changes a result, so no trial runs twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from sweep.records import ExampleOutcome, Split, TrialResult, TrialSpec, WorkerSetup, to_json, trial_result_from_json
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.paths import Paths
from sweep.store.whole_folder import commit, damage, scratch_for, set_aside
from tasks import Example

RESULT = "result.json"
SCORES = "scores.jsonl"
CONFIG = "config.yaml"


class TrialStore:
    """The folders `mlruns/trials/xx/IDENTITY`, each with result.json, scores.jsonl and config.yaml.

    Args:
        note: called with a line for the user when a damaged folder was set aside.

    Attributes:
        adapters: the adapters that trials trained.
    """

    def __init__(self, paths: Paths, note: Callable[[str], None] = print) -> None:
        self._paths = paths
        self._note = note
        self.adapters = AdapterStore(paths, note)

    def folder(self, identity: str) -> Path:
        """The trial's folder, which exists once the trial is finished."""
        return self._paths.trial(identity)

    def adapter_folder(self, spec: TrialSpec) -> Path:
        """The adapter that a trial trained or evaluated; earlier versions kept it in the trial's own folder."""
        folder = self.adapters.folder(spec.adapter_id)
        return folder if folder.is_dir() else self.folder(spec.adapter_of or spec.identity) / ADAPTER

    def find(self, identity: str) -> TrialResult | None:
        """The result, if this trial is finished and its folder undamaged; a damaged folder is set aside."""
        folder = self.folder(identity)
        if not folder.is_dir():
            return None
        wrong = damage(folder)
        if wrong is None:
            try:
                result = trial_result_from_json(json.loads((folder / RESULT).read_text(encoding="utf-8")))
                examples = len(self.outcomes(identity))
                if result.measures is not None and result.measures.examples == examples:
                    return result
                wrong = f"{SCORES} holds {examples} examples"
            except (OSError, ValueError, KeyError, TypeError) as error:
                wrong = f"it cannot be read ({type(error).__name__})"
        aside = set_aside(folder)
        self._note(f"a finished trial is damaged ({wrong}); it was set aside as {aside} and is run again")
        return None

    def reject_scores(self, adapter: str) -> None:
        """Sets aside the trials that scored an adapter which another trial had trained; those of a study on test stay."""
        for file in self._paths.stores[0].glob(f"??/*/{RESULT}"):
            try:
                spec = json.loads(file.read_text(encoding="utf-8"))["spec"]
                is_score = spec["adapter"] == adapter and spec["adapter_of"] and spec["split"] != Split.TEST
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if is_score and not file.parent.name.startswith("."):
                set_aside(file.parent)

    def outcomes(self, identity: str) -> list[ExampleOutcome]:
        """The outcome of each evaluated example of a finished trial, in the order of the data.

        Raises:
            OSError, ValueError, KeyError, TypeError: the file is missing or damaged.
        """
        lines = (self.folder(identity) / SCORES).read_text(encoding="utf-8").split("\n")
        return [
            ExampleOutcome(row["nats"], row["tokens"], row.get("answer"), row["score"])
            for row in map(json.loads, filter(None, lines))
        ]

    def outcomes_by_key(self, identity: str) -> dict[str, ExampleOutcome]:
        """The outcome of each evaluated example by `Example.key`; examples that are too long have none.

        Raises:
            OSError, ValueError, KeyError, TypeError: the file is missing or damaged.
        """
        lines = (self.folder(identity) / SCORES).read_text(encoding="utf-8").split("\n")
        keys = [json.loads(line)["key"] for line in filter(None, lines)]
        return dict(zip(keys, self.outcomes(identity), strict=True))

    def artifacts(self, result: TrialResult) -> tuple[Path, ...]:
        """The files and folders of a finished trial that are kept with its MLflow run."""
        folder = self.folder(result.spec.identity)
        files = [folder / RESULT, folder / SCORES, folder / CONFIG]
        if result.spec.arm is not None and result.spec.adapter_of is None:
            files.append(self.adapter_folder(result.spec))
        return tuple(file for file in files if file.exists())

    def save(
        self, result: TrialResult, setup: WorkerSetup, examples: Sequence[Example], outcomes: Sequence[ExampleOutcome]
    ) -> None:
        """Writes a complete trial's folder."""
        folder = self.folder(result.spec.identity)
        config = {"trial": to_json(result.spec), "foundation": to_json(setup)}
        with scratch_for(folder) as scratch:
            (scratch / SCORES).write_text(_json_lines(examples, outcomes), encoding="utf-8")
            (scratch / CONFIG).write_text(yaml.safe_dump(config))
            (scratch / RESULT).write_text(json.dumps(to_json(result), indent=1), encoding="utf-8")
            commit(scratch, folder)


def _json_lines(examples: Sequence[Example], outcomes: Sequence[ExampleOutcome]) -> str:
    """One JSON object per line and example."""
    rows = (
        {
            "key": example.key,
            "kind": example.kind,
            "prompt": example.prompt,
            "expected": example.completion,
            "answer": one.answer,
            "nats": one.nats,
            "tokens": one.tokens,
            "score": one.score,
        }
        for example, one in zip(examples, outcomes, strict=True)
    )
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
