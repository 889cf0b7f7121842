"""`python -m sweep.champion`: the adapter in use, its history, and the way back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.champion import champion
from sweep.console.command import run
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import trained_adapter_from_json
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champion_recording import RecordedHistory
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from tasks.example import Splits
from tasks.versions import DataVersion
from tests.commands.test_stored_study import STORED

ROWS = DataVersion.of(Splits((), (), (), (), warnings=(), data_hash="ab", train_hash="cd"))
TEST = {
    "level": 0.0052,
    "old": {"difference": 0.012, "upper": 0.041},
    "new": {"difference": -0.31, "upper": -0.112},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study that has two versions of its champion."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    history = Champions(Paths(tmp_path / "mlruns"), "s")
    for number, event in ((1, ChampionEvent.VERDICT), (2, ChampionEvent.PROMOTION)):
        made = ChampionEntry(
            number=number,
            event=event,
            created=f"2026-01-0{number}T02:00:00+00:00",
            version=0,
            tests=number - 1,
            promotions=number - 1,
            reason=f"made up {number}",
            data_hash="ab" * 32,
            trial=str(number),
            rank=4 * number,
            recipe={},
            margin=0.05,
            alpha=0.05,
            test=TEST if number == 2 else {},
        )
        history.append(made, adapter=tmp_path / "a", rows=ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_history_says_what_is_in_use_and_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert champion(["study=s"]) == 0
    said = capsys.readouterr().out
    for part in ("verdict", "promotion", "+0.012 ≤ +0.041", "-0.310 ≤ -0.112", "0.0052", "made up 2"):
        assert part in said
    assert "In use: version 2, rank 8, mlruns/champions/s/adapter" in said
    assert "the next test has the level 0.0021" in said


def test_back_and_forth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = Path("mlruns/champions/s/adapter")
    assert champion(["study=s", "rollback=true"]) == 0
    said = capsys.readouterr().out
    assert "back from version 2 to 1" in said
    assert "In use: version 1, rank 4" in said
    assert link.resolve().parent.name == "0001"
    champion(["study=s", "to=2"])
    assert link.resolve().parent.name == "0002"
    champion(["study=s", "rollback=true"])
    assert link.resolve().parent.name == "0001"
    entries = Champions(Paths(folder / "mlruns"), "s").entries()
    assert [entry.version for entry in entries] == [1, 2, 1, 2, 1]
    assert (entries[-1].tests, entries[-1].promotions) == (4, 4)


def test_a_rollback_says_why_mlflow_does_not_follow(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The study's records are in another database, which is not named."""
    recording = Paths(folder / "mlruns").champion_recording("s")
    RecordedHistory("http://mlflow.example", 2).write(recording)
    assert champion(["study=s", "rollback=true"]) == 0
    said = capsys.readouterr()
    assert "In use: version 1" in said.out
    assert said.err.startswith("MLflow's registered model is not up to date: there is no study here")
    assert len(said.err.splitlines()) == 1
    champion(["study=s", "to=2"])
    assert "not up to date" in capsys.readouterr().err
    recording.unlink()
    champion(["study=s", "to=1"])
    assert capsys.readouterr().err == "", "no store is known that could follow"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rollback=true"], "name one study"),
        (["study=s", "study=t"], "name one study"),
        (["study=s", "rollback=true", "to=1"], "one of them at a time"),
        (["study=s", "to=x"], "number of a version"),
        (["study=s", "to=9"], "known: 1, 2"),
        (["study=s", "to=2"], "in use already"),
        (["study=s", "rollback=no"], "rollback=true"),
        (["study=s", "margin=0.1"], "with adopt=true"),
        (["study=s", "adopt=true", "margin=nan"], "above 0"),
        (["study=s", "roll=true"], "no key 'roll'"),
        (["study=other"], "no champion yet"),
        (["study=other", "rollback=true"], "nothing to go back to"),
        (["study=../s"], "cannot be a name"),
    ],
)
def test_mistakes_are_explained(folder: Path, words: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        champion(words)
    assert said in str(caught.value)
    assert len(Champions(Paths(folder / "mlruns"), "s").entries()) == 2


def test_nobody_goes_back_to_a_damaged_adapter(folder: Path) -> None:
    (folder / "mlruns/champions/s/0001/adapter/adapter_config.json").write_text("{} ")
    with pytest.raises(EnvironmentLacks, match="is damaged"):
        champion(["study=s", "rollback=true"])
    assert len(Champions(Paths(folder / "mlruns"), "s").entries()) == 2


def started(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweep.champion", "study=stored", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_an_adapter_whose_training_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No refresh could score it: neither the store nor the record of its trial says on which base it was trained."""
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "mlruns/optuna.db")) as database, database:
        rows = database.execute("select study_user_attribute_id, value_json from study_user_attributes").fetchall()
        for number, text in rows:
            if "provenance" in text:
                plain = json.dumps({**json.loads(text), "provenance": None})
                query = "update study_user_attributes set value_json = ? where study_user_attribute_id = ?"
                database.execute(query, (plain, number))
    monkeypatch.chdir(tmp_path)
    assert run(lambda: champion(["study=stored", "adopt=true"])) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "do not say on which base its adapter was trained, so no refresh could score it" in said
    assert "run the study under another name" in said
    assert Champions(Paths(tmp_path / "mlruns"), "stored").entries() == []


@pytest.mark.slow
def test_the_adapter_of_a_verdict_is_taken_into_use(tmp_path: Path) -> None:
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    nothing = started(tmp_path)
    assert nothing.returncode == 2
    assert "adopt=true" in nothing.stderr
    taken = started(tmp_path, "adopt=true")
    assert taken.returncode == 0, taken.stderr
    assert "In use: version 1" in taken.stdout
    entry: dict[str, Any] = json.loads((tmp_path / "mlruns/champions/stored/0001/entry.json").read_text())
    # the store has lost the record of its training, and the trial has it
    assert not (tmp_path / "mlruns/adapters").exists()
    assert trained_adapter_from_json(entry["training"]).provenance.base_hash
    verdict = json.loads((tmp_path / "mlruns/reports/stored/verdict.json").read_text())
    assert entry["margin"] == verdict["margin_in_loss"]
    assert entry["data_hash"] == verdict["data_hash"]
    link = tmp_path / "mlruns/champions/stored/adapter/adapter_model.safetensors"
    assert link.read_bytes() == (tmp_path / "mlruns/reports/stored/adapter/adapter_model.safetensors").read_bytes()
    again = started(tmp_path, "adopt=true")
    assert "in use already" in again.stdout

    # an earlier version took it into use without the record
    (tmp_path / "mlruns/champions/stored/0001/entry.json").write_text(json.dumps({**entry, "training": {}}))
    more = started(tmp_path, "adopt=true")
    assert "In use: version 2" in more.stdout, more.stderr
    assert (
        json.loads((tmp_path / "mlruns/champions/stored/0002/entry.json").read_text())["training"] == entry["training"]
    )

    file = tmp_path / "data" / "validation.jsonl"
    rows = file.read_text().splitlines()
    added = [
        json.dumps({"prompt": f"a question that has come since {place}", "completion": "x"}) for place in range(40)
    ]
    file.write_text("\n".join([*rows[1:], *added]) + "\n")
    changed = started(tmp_path, "changes=true")
    assert changed.returncode == 0, changed.stderr
    assert "1 removed" in changed.stdout
    assert "added" in changed.stdout
    assert "old" in changed.stdout
