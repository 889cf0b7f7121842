"""Trained and cut adapters on disk, by identity: `mlruns/adapters/xx/IDENTITY` with adapter/ and training.json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sweep.records import TrainedAdapter, TrialResult, to_json, trained_adapter_from_json, trial_result_from_json
from sweep.store.locks import Claims
from sweep.store.paths import ORIGIN, Paths
from sweep.store.whole_folder import commit, damage, scratch_for, set_aside, size_problem

ADAPTER = "adapter"
TRAINING = "training.json"

_EVALUATION_PHASES = ("score", "answer", "general")


class AdapterStore:
    """Adapters that are finished, so that none is trained or cut twice.

    Args:
        note: called with a line for the user when a damaged folder was set aside.
    """

    def __init__(self, paths: Paths, note: Callable[[str], None] = print) -> None:
        self._paths = paths
        self._note = note
        self._claims = Claims()

    def claim(self, identity: str) -> bool:
        """Returns whether this process may train the adapter: False while another process does, see `Claims`."""
        return self._claims.claim(self._paths.adapter_lock(identity))

    def release(self, identity: str) -> None:
        """Lets other processes train the adapter, if this one had the claim and has stored it or failed."""
        self._claims.release(self._paths.adapter_lock(identity))

    def folder(self, identity: str) -> Path:
        """The folder of the adapter in PEFT's format, which may not exist."""
        return self._paths.trained_adapter(identity) / ADAPTER

    def find(self, identity: str) -> TrainedAdapter | None:
        """The adapter's record, or None if there is none; a damaged adapter is set aside."""
        folder = self._paths.trained_adapter(identity)
        if not folder.is_dir():
            return None
        wrong = damage(folder, earlier_versions=False)
        if wrong is None:
            try:
                return trained_adapter_from_json(json.loads((folder / TRAINING).read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError) as error:
                wrong = f"{TRAINING} cannot be read ({type(error).__name__})"
        self.reject(identity, wrong)
        return None

    def reject(self, identity: str, wrong: str) -> None:
        """Sets aside an adapter that cannot be used.

        Args:
            wrong: what is wrong with it, in words.
        """
        aside = set_aside(self._paths.trained_adapter(identity))
        self._note(f"a trained adapter is damaged ({wrong}); it was set aside as {aside} and is made again")

    @contextmanager
    def writing(self, identity: str) -> Iterator[Path]:
        """A scratch folder for the adapter's files; removed at the end of the block unless it was committed."""
        with scratch_for(self._paths.trained_adapter(identity)) as scratch:
            yield scratch

    def commit(self, scratch: Path, trained: TrainedAdapter) -> None:
        """Adds the record to the scratch folder and makes it the adapter's; call within `writing`."""
        (scratch / TRAINING).write_text(json.dumps(to_json(trained), indent=1), encoding="utf-8")
        commit(scratch, self._paths.trained_adapter(trained.identity))

    def adopt(self, identity: str, result: TrialResult) -> None:
        """Copies the adapter of a trial that an earlier version finished, which kept it in the trial's folder."""
        folder = self._paths.trial(result.spec.identity)
        source = folder / ADAPTER
        weights = list(source.glob("*.safetensors"))
        if not weights or any(size_problem(file) for file in weights) or self.find(identity) is not None:
            return
        # the folder has the whole learning curve, the study's record a thinned one
        with suppress(OSError, ValueError, KeyError, TypeError):
            result = trial_result_from_json(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        trained = training_of(identity, result)
        if trained is None:
            return
        with self.writing(identity) as scratch:
            shutil.copytree(source, scratch / ADAPTER)
            self.commit(scratch, trained)


def origin_of(folder: Path) -> dict[str, Any]:
    """What the file beside an adapter says of where it comes from; empty if there is none, or it cannot be read."""
    with suppress(OSError, ValueError):
        plain = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return plain if isinstance(plain, dict) else {}
    return {}


def training_of(identity: str, result: TrialResult) -> TrainedAdapter | None:
    """The record of a trial's training, from the trial's result; None if it has no provenance."""
    spec, measures, provenance = result.spec, result.measures, result.provenance
    if spec.arm is None or measures is None or provenance is None:
        return None
    evaluation = sum(measures.phases.get(phase, 0.0) for phase in _EVALUATION_PHASES)
    return TrainedAdapter(
        identity=identity,
        arm=spec.arm,
        training=spec.training,
        seed=spec.seed,
        peak_bytes=measures.peak_bytes,
        peak_of=measures.peak_of,
        parameters=measures.trainable_parameters,
        bytes=measures.adapter_bytes,
        tokens=round(measures.tokens_per_second * measures.train_seconds),
        started=result.started,
        seconds=max(0.0, result.seconds - evaluation),
        provenance=provenance,
        history=result.history,
        reports=result.reports,
        phases={phase: seconds for phase, seconds in measures.phases.items() if phase not in _EVALUATION_PHASES},
    )
