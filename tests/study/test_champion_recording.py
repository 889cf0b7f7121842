"""MLflow's registered model follows the history of a champion, whatever happens in which order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records import Arm, Provenance, TrainedAdapter, Training, to_json
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champion_recording import RecordedHistory
from sweep.store.champions import Champions
from sweep.store.paths import ORIGIN, Paths
from sweep.study.champion_recording import ChampionRecording
from sweep.tracking import VERDICT, Champion
from sweep.tracking.memory_tracker import MemoryTracker
from tests.store.test_champions import ROWS, adapter_in, entry
from tests.tracking.made_champion import made_champion

ARM = Arm(rank=4, alpha_ratio=2.0, dropout=0.0, targets=("q_proj",), learning_rate=2e-3)
TRAINED = TrainedAdapter(
    *("adapter", ARM, Training(steps=60, batch_size=4), 7, 1, "", 1, 1, 1, 0.0, 1.0),
    Provenance({"torch": "2.13.0+cpu"}, "cpu", "made", "basehash", "datahash", 1),
)
CONFIG = "task:\n  system_prompt: Say yes.\n  limits: Not for the road.\nevaluate:\n  max_new_tokens: 9\n"
MODEL = "s-goldilocks"


class Study:
    """A study whose champion has a history."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "mlruns")
        self.history = Champions(self.paths, "s")
        self.tracker = MemoryTracker()
        self.said: list[str] = []
        self._source = folder / "source"
        adapter_in(self._source)

    @property
    def recording(self) -> ChampionRecording:
        return ChampionRecording("s", CONFIG, None, self.paths, prompt="a question", say=self.said.append)

    def add(self, event: ChampionEvent, version: int = 0, *, trial: str | None = None) -> ChampionEntry:
        number = len(self.history.entries()) + 1
        made = entry(number, event, version)
        made = replace(made, recipe=to_json(ARM), training=to_json(TRAINED), trial=trial or made.trial)
        if not made.brings_adapter:
            return self.history.append(made)
        origin = {"trial": made.trial, "base_model": "org/base", "base_folder": None, "quant": "nf4"}
        (self._source / ORIGIN).write_text(json.dumps(origin))
        return self.history.append(made, adapter=self._source, rows=ROWS)

    def record(self, verdict: Champion | None = None) -> None:
        """What a call does whose records arrive."""
        recording = self.recording
        number = recording.register(self.tracker, verdict=verdict)
        recording.finish(number)

    @property
    def versions(self) -> dict[str, Champion]:
        return {each.trial: each for each in self.tracker.champions[MODEL]}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    return Study(tmp_path)


def test_the_alias_is_on_what_is_in_use(study: Study) -> None:
    study.add(ChampionEvent.VERDICT)
    study.record()
    assert study.tracker.aliases == {MODEL: {"champion": "trial1"}}
    study.add(ChampionEvent.PROMOTION)
    study.add(ChampionEvent.KEPT, 2)
    study.record()
    assert study.tracker.aliases == {MODEL: {"champion": "trial2"}}
    assert "not in use" in study.versions["trial1"].description
    assert f"models:/{MODEL}/{{version}}" in study.versions["trial1"].description
    study.add(ChampionEvent.ROLLBACK, 1)
    study.record()
    assert study.tracker.aliases == {MODEL: {"champion": "trial1"}}
    assert "in use." in study.versions["trial1"].description
    assert "not in use" in study.versions["trial2"].description
    assert study.versions["trial1"].tags["sweep.champion.event"] == "rollback"
    assert list(study.versions) == ["trial1", "trial2"]


def test_a_version_is_described_by_its_entry(study: Study) -> None:
    study.add(ChampionEvent.VERDICT)
    made = study.add(ChampionEvent.PROMOTION)
    study.record()
    own = study.versions["trial2"]
    assert own.tags == {
        "sweep.study": "s",
        "sweep.champion.version": "2",
        "sweep.champion.event": "promotion",
        "sweep.champion.reason": made.reason,
        "sweep.champion.since": made.created,
        "sweep.champion.margin": "0.05",
        "sweep.champion.recipe": json.dumps(to_json(ARM), sort_keys=True),
        "sweep.rank": "4",
        "sweep.method": "lora",
        "sweep.seed": "7",
        "sweep.base_hash": "basehash",
        "sweep.data_hash": made.data_hash,
    }
    assert own.name == "r4-lr2e-03-s7"
    assert own.serving["quantization"]["load_in_4bit"] is True
    assert (own.serving["system_prompt"], own.serving["max_new_tokens"]) == ("Say yes.", 9)
    assert {"torch==2.13.0", "bitsandbytes"} <= set(own.requirements)
    assert own.prompt == "a question"
    assert "**Limits.** Not for the road." in own.description
    assert Path(own.folder) == study.history.adapter(2)


def test_a_verdict_that_is_not_adopted_does_not_take_the_alias(study: Study, tmp_path: Path) -> None:
    study.add(ChampionEvent.VERDICT)
    study.record()
    later = replace(made_champion(tmp_path / "later", trial="later"), model=MODEL, aliases=(VERDICT,))
    study.record(later)
    assert study.tracker.aliases == {MODEL: {"champion": "trial1", "verdict": "later"}}
    study.add(ChampionEvent.VERDICT, trial="later")
    study.record(later)
    assert study.tracker.aliases == {MODEL: {"champion": "later", "verdict": "later"}}
    assert study.versions["later"].tags["sweep.champion.version"] == "2"
    first = replace(later, trial="trial1")
    study.record(first)
    assert study.tracker.aliases == {MODEL: {"champion": "later", "verdict": "trial1"}}
    assert study.versions["trial1"].tags["sweep.champion.version"] == "1", "described by its entry, not by the verdict"


def test_what_a_killed_call_left_is_found_by_the_next(study: Study) -> None:
    assert not study.recording.is_behind(alone=True), "nothing to follow"
    study.add(ChampionEvent.VERDICT)
    assert study.recording.is_behind(alone=True)
    study.record()
    assert not study.recording.is_behind(alone=True)
    study.recording.begin()  # and the refresh is killed before it has changed anything
    assert study.recording.is_behind(alone=True)
    assert not study.recording.is_behind(alone=False), "it may be running"
    study.recording.finish(None)
    study.add(ChampionEvent.PROMOTION)
    study.add(ChampionEvent.PROMOTION)
    assert study.recording.is_behind(alone=False)
    study.record()
    assert list(study.versions) == ["trial1", "trial2", "trial3"], "also the one that was in use in between"
    other_store = ChampionRecording("s", CONFIG, "sqlite:///other.db", study.paths, say=study.said.append)
    assert other_store.is_behind(alone=True)
    nowhere = ChampionRecording("s", CONFIG, "memory://", study.paths, say=study.said.append)
    assert not nowhere.is_behind(alone=True)


@pytest.mark.parametrize("text", ["", "[]", '{"store": "x"}', '{"store": "x", "entry": "y", "is_open": false}'])
def test_a_damaged_note_means_that_nothing_is_recorded(text: str, tmp_path: Path) -> None:
    file = tmp_path / "recording.json"
    file.write_text(text)
    assert RecordedHistory.read(file) == RecordedHistory()


def test_damaged_files_are_not_registered(study: Study) -> None:
    study.add(ChampionEvent.VERDICT)
    study.add(ChampionEvent.PROMOTION)
    for number in (1, 2):
        file = study.paths.champion_entry("s", number) / "adapter" / "adapter_model.safetensors"
        kept = file.read_bytes()
        file.write_bytes(b"damaged")
        assert (study.recording.register(study.tracker) is None) == (number == 2)
        assert any("is damaged" in line for line in study.said)
        assert f"trial{number}" not in study.versions
        file.write_bytes(kept)
        study.tracker.champions.clear()


def test_a_history_of_an_earlier_version_is_named_and_left_out(study: Study) -> None:
    made = replace(entry(1, ChampionEvent.VERDICT), recipe=to_json(ARM), training={})
    study.history.append(made, adapter=study._source, rows=ROWS)
    assert study.recording.register(study.tracker) == 1
    assert study.tracker.champions == {}
    (said,) = study.said
    assert "is not registered in MLflow" in said
