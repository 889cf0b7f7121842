"""A finished trial is found unchanged, and a damaged one is set aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records import (
    BaseModel,
    EvaluationSettings,
    ExampleOutcome,
    Quantization,
    TaskData,
    TrainedAdapter,
    TrialResult,
    WorkerSetup,
    to_json,
    trained_adapter_from_json,
)
from sweep.store.adapters import ADAPTER
from sweep.store.paths import Paths
from sweep.store.trials import RESULT, SCORES, TrialStore
from tasks import Example
from tests.conftest import arm, result

IDENTITY = "0123abcd"
SETUP = WorkerSetup(
    BaseModel("tiny", "tiny", "made"),
    Quantization(),
    TaskData("made", "jsonl", "accuracy"),
    EvaluationSettings(),
    "packed",
    1,
)
EXAMPLES = (Example(prompt="größer\u2028?", completion="yes", kind="size"), Example(prompt="b", completion="no"))
OUTCOMES = (ExampleOutcome(1.0, 2, "a\nb", 0.5), ExampleOutcome(0.25, 1))
EMPTY = (2).to_bytes(8, "little") + b"{}"
"""An empty safetensors file."""


@pytest.fixture
def finished() -> TrialResult:
    made = result(arm(8), 0.5)
    assert made.measures is not None
    return replace(made, measures=replace(made.measures, examples=2))


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, finished: TrialResult, notes: list[str]) -> TrialStore:
    made = TrialStore(Paths(tmp_path), notes.append)
    made.save(finished, SETUP, EXAMPLES, OUTCOMES)
    return made


def test_it_is_found_unchanged(store: TrialStore, finished: TrialResult, notes: list[str]) -> None:
    assert store.find(IDENTITY) == finished
    assert store.outcomes(IDENTITY) == list(OUTCOMES)
    assert store.find("other000") is None
    assert notes == []


@pytest.mark.parametrize("name", [RESULT, SCORES])
def test_a_damaged_trial_is_set_aside_with_one_note(store: TrialStore, notes: list[str], name: str) -> None:
    file = store.folder(IDENTITY) / name
    file.write_text(file.read_text()[:-3])
    assert store.find(IDENTITY) is None
    assert store.find(IDENTITY) is None
    (note,) = notes
    assert name in note
    assert "run again" in note


def test_examples_are_counted_in_a_folder_of_an_earlier_version(store: TrialStore, notes: list[str]) -> None:
    (store.folder(IDENTITY) / "manifest.json").unlink()
    assert store.find(IDENTITY) is not None
    (store.folder(IDENTITY) / SCORES).unlink()
    assert store.find(IDENTITY) is None
    assert "damaged" in notes[0]


def test_the_adapter_of_an_earlier_version_is_adopted(store: TrialStore, finished: TrialResult) -> None:
    weights = store.folder(IDENTITY) / ADAPTER / "adapter_model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"cut short")
    store.adapters.adopt("f" * 32, finished)
    assert store.adapters.find("f" * 32) is None
    weights.write_bytes(EMPTY)
    store.adapters.adopt("f" * 32, finished)
    found = store.adapters.find("f" * 32)
    assert found is not None
    assert found.arm == finished.spec.arm
    assert (store.adapters.folder("f" * 32) / "adapter_model.safetensors").read_bytes() == EMPTY
    assert store.adapter_folder(replace(finished.spec, adapter="f" * 32)) == store.adapters.folder("f" * 32)
    assert store.adapter_folder(finished.spec) == weights.parent


def test_the_record_of_a_cut_adapter_is_kept_and_older_ones_are_read(finished: TrialResult) -> None:
    spec, provenance = finished.spec, finished.provenance
    assert provenance is not None
    cut = replace(arm(8), rank=2, cut_from=8)
    record = TrainedAdapter(
        "f" * 32, cut, spec.training, 1, 10, "probe", 20, 30, 40, 1.0, 0.5, provenance, energy_kept=0.75
    )
    known = to_json(record)
    assert trained_adapter_from_json(known) == record
    older = {**known, "arm": {name: value for name, value in known["arm"].items() if name != "cut_from"}}
    del older["energy_kept"]
    assert trained_adapter_from_json(older) == replace(record, arm=arm(2), energy_kept=None)
