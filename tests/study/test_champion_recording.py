"""MLflow's registered model follows the history of a champion, whatever happens in which order."""

from __future__ import annotations

import json
import shutil
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
from sweep.tracking import VERDICT, Champion, record_queue
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
        self.arm, self.quant = ARM, "nf4"
        self.source = adapter_in(folder / "source")

    @property
    def recording(self) -> ChampionRecording:
        return ChampionRecording("s", CONFIG, None, self.paths, prompt="a question", say=self.said.append)

    def add(self, event: ChampionEvent, version: int = 0, *, trial: str | None = None) -> ChampionEntry:
        number = len(self.history.entries()) + 1
        made = entry(number, event, version)
        made = replace(made, recipe=to_json(self.arm), training=to_json(TRAINED), trial=trial or made.trial)
        if not made.brings_adapter:
            return self.history.append(made)
        origin = {"trial": made.trial, "base_model": "org/base", "base_folder": None, "quant": self.quant}
        (self.source / ORIGIN).write_text(json.dumps(origin))
        return self.history.append(made, adapter=self.source, rows=ROWS)

    def record(self, verdict: Champion | None = None) -> None:
        """What a call does whose records arrive."""
        recording = self.recording
        number = recording.register(self.tracker, verdict=verdict)
        recording.finish(self.tracker, number)

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
    study.recording.finish(study.tracker, None)
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
    study.history.append(made, adapter=study.source, rows=ROWS)
    assert study.recording.register(study.tracker) == 1
    assert study.tracker.champions == {}
    (said,) = study.said
    assert "is not registered in MLflow" in said
    assert "no version has the alias champion until another one is in use" in said


def test_a_rollback_to_a_version_that_cannot_be_described_takes_the_alias_away(study: Study) -> None:
    made = replace(entry(1, ChampionEvent.VERDICT), recipe=to_json(ARM), training={})
    study.history.append(made, adapter=study.source, rows=ROWS)
    study.add(ChampionEvent.PROMOTION)
    study.record()
    (said,) = study.said
    assert said.endswith("its files do not say what it was trained on")
    assert study.tracker.aliases == {MODEL: {"champion": "trial2"}}
    study.add(ChampionEvent.ROLLBACK, 1)
    study.record()
    assert study.tracker.aliases == {MODEL: {}}
    assert "not in use" in study.versions["trial2"].description
    assert not study.recording.is_behind(alone=True)
    study.add(ChampionEvent.ROLLBACK, 2)
    study.record()
    assert study.tracker.aliases == {MODEL: {"champion": "trial2"}}


@pytest.fixture
def with_store(study: Study, empty_store: Path) -> Study:
    """The study beside a real database of MLflow."""
    study.paths.root.mkdir()
    shutil.copy(empty_store, study.paths.mlflow_database)
    return study


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow warns of its own type hints, and pandas of what MLflow does
def test_a_whole_model_that_is_in_use_answers_from_the_registry(
    with_store: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`method=full`, whose trials are in no run of this store."""
    import mlflow
    from mlflow import MlflowClient

    from sweep.training.made_models import make_tiny_model

    study, uri = with_store, f"sqlite:///{with_store.paths.mlflow_database}"
    shutil.rmtree(study.source)
    make_tiny_model(study.source)
    study.arm = Arm(rank=0, alpha_ratio=0.0, dropout=0.0, targets=(), learning_rate=1e-4, method="full")
    study.quant = "none"
    study.add(ChampionEvent.VERDICT)
    study.add(ChampionEvent.PROMOTION)
    for _ in range(2):
        study.recording.bring_up_to_date(dict, alone=True)
    assert study.said == []
    assert not study.recording.is_behind(alone=True)
    client = MlflowClient(uri)
    found = client.search_model_versions(f"name = '{MODEL}'")
    assert sorted(each.tags["sweep.champion.version"] for each in found) == ["1", "2"]
    assert client.get_model_version_by_alias(MODEL, "champion").tags["sweep.champion.version"] == "2"
    assert {each.run_id for each in found} == {None}
    assert "It holds all weights." in client.get_registered_model(MODEL).description
    assert not list(study.paths.journals.glob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (answer,) = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion").predict([{"prompt": "a"}])
    assert isinstance(answer, str)


@pytest.mark.slow
def test_a_server_that_is_away_gets_it_later(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_queue, "_AWAY_SECONDS", 1.0)
    study.add(ChampionEvent.VERDICT)
    away = ChampionRecording("s", CONFIG, "http://127.0.0.1:9", study.paths, say=study.said.append)
    away.bring_up_to_date(dict, alone=True)
    (journal,) = study.paths.journals.glob("s.*.jsonl")
    assert [json.loads(line).get("do") for line in journal.read_text().splitlines()] == [None, "register"]
    assert away.is_behind(alone=True)
    assert any("the next run of the same command records them" in line for line in study.said)
