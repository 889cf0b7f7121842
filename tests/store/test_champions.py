"""The history of a champion: entries are whole, nothing is changed, and a process that is killed anywhere leaves a state to go on from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champions import Champions, challenger_folder, same_weights
from sweep.store.paths import Paths
from tasks.example import Example, Splits
from tasks.versions import DataVersion

ROWS = DataVersion.of(
    Splits((Example("a", "1"),), (), (Example("b", "2"),), (), warnings=(), data_hash="ab", train_hash="cd")
)


def entry(number: int, event: ChampionEvent = ChampionEvent.PROMOTION, version: int = 0) -> ChampionEntry:
    return ChampionEntry(
        number=number,
        event=event,
        created="2026-01-01T02:00:00+00:00",
        version=version,
        tests=number - 1,
        promotions=0,
        reason="made up",
        data_hash="ab",
        trial=f"trial{number}",
        rank=4,
        recipe={"method": "lora", "rank": 4},
        margin=0.05,
        alpha=0.05,
        test={"level": 0.01},
    )


def adapter_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(100)))
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return adapter_in(tmp_path / "source")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "mlruns")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verdict, a promotion, and a challenger that was not promoted."""
    root = tmp_path_factory.mktemp("made")
    adapter, champions = adapter_in(root / "source"), Champions(Paths(root / "mlruns"), "s")
    champions.append(entry(1, ChampionEvent.VERDICT), adapter=adapter, rows=ROWS)
    (adapter / "adapter_model.safetensors").write_bytes(b"another")
    champions.append(entry(2), adapter=adapter, rows=ROWS)
    champions.append(entry(3, ChampionEvent.KEPT, version=2))
    return root / "mlruns"


@pytest.fixture
def history(made: Path, paths: Paths) -> Champions:
    """A copy of that history."""
    shutil.copytree(made, paths.root, symlinks=True)
    return Champions(paths, "s")


def test_entries_read_back_as_written(history: Champions, paths: Paths) -> None:
    entries = history.entries()
    assert [each.number for each in entries] == [1, 2, 3]
    assert [each.version for each in entries] == [1, 2, 2]
    assert entries[1] == replace(entry(2), version=2)
    assert history.rows(2) == ROWS
    assert (history.adapter(1) / "adapter_model.safetensors").read_bytes() == bytes(range(100))
    link = paths.champion_link("s")
    assert (link / "adapter_model.safetensors").read_bytes() == b"another"
    assert not link.readlink().is_absolute(), "a folder that is moved keeps its link"
    assert history.place == link
    link.unlink()
    assert history.place == paths.champion_entry("s", 2) / "adapter", "where links cannot be made"


def test_going_back_adds_an_entry_and_turns_the_link(history: Champions, paths: Paths) -> None:
    before = {file: file.read_bytes() for file in paths.champions("s").rglob("000*/**/*") if file.is_file()}
    history.append(entry(4, ChampionEvent.ROLLBACK, version=1))
    assert (paths.champion_link("s") / "adapter_model.safetensors").read_bytes() == bytes(range(100))
    assert {file: file.read_bytes() for file in before} == before


def test_a_copy_that_made_a_folder_of_the_link_has_a_link_again(made: Path, paths: Paths) -> None:
    shutil.copytree(made, paths.root, symlinks=False)
    link = paths.champion_link("s")
    assert not link.is_symlink()
    Champions(paths, "s").append(entry(4, ChampionEvent.ROLLBACK, version=1))
    assert link.resolve() == (paths.champion_entry("s", 1) / "adapter").resolve()
    assert (link / "adapter_model.safetensors").read_bytes() == bytes(range(100))
    left = sorted(path.name for path in link.parent.iterdir())
    assert left == [".adapter.damaged-1", "0001", "0002", "0003", "0004", "adapter"]
    Champions(paths, "s").append(entry(5, ChampionEvent.ROLLBACK, version=2))
    assert (link / "adapter_model.safetensors").read_bytes() == b"another"


def test_a_decision_made_from_an_older_state_is_refused(history: Champions, adapter: Path) -> None:
    with pytest.raises(ConfigurationError, match="another process"):
        history.append(entry(3), adapter=adapter, rows=ROWS)
    with pytest.raises(ConfigurationError, match="no version 3"):
        history.append(entry(4, ChampionEvent.ROLLBACK, version=3))
    with pytest.raises(ValueError, match="adapter"):
        history.append(entry(4))
    assert len(history.entries()) == 3


def test_damage_is_found_before_an_adapter_is_used(history: Champions, paths: Paths) -> None:
    (paths.champion_entry("s", 1) / "adapter" / "adapter_model.safetensors").write_bytes(bytes(100))
    with pytest.raises(EnvironmentLacks, match="was changed"):
        history.adapter(1)
    assert history.adapter(2).is_dir()
    with pytest.raises(ConfigurationError, match="known: 1, 2"):
        history.adapter(3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"event": "crowned"}'])
def test_an_entry_that_cannot_be_read_is_explained(history: Champions, paths: Paths, text: str) -> None:
    (paths.champion_entry("s", 2) / "entry.json").write_text(text)
    with pytest.raises(EnvironmentLacks, match=r"entry\.json cannot be read"):
        history.entries()


def test_a_missing_entry_is_noticed(history: Champions, paths: Paths) -> None:
    paths.champion_entry("s", 2).rename(paths.root / "elsewhere")
    with pytest.raises(EnvironmentLacks, match="0002 is missing"):
        history.current()


def test_fields_of_later_versions_are_no_hindrance(history: Champions, paths: Paths) -> None:
    file = paths.champion_entry("s", 3) / "entry.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "later": 1}))
    assert len(history.entries()) == 3


def test_names_stay_in_their_folder(paths: Paths) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a name"):
        Champions(paths, "../x").entries()


KILLED = """
import os, sys
from pathlib import Path
from tests.store.test_champions import ROWS, Champions, ChampionEvent, Paths, entry

root, source = Path(sys.argv[1]), Path(sys.argv[2])
WRITES = {"os.rename", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile"}

def is_write(event, arguments):
    return event in WRITES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))

def killed_at(write):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if is_write(event, arguments):
            count += 1
            if count == write:
                os._exit(9)
    sys.addaudithook(hook)

def call(folder):
    '''What every call does: goes on from what is there, until the promotion is recorded.'''
    champions = Champions(Paths(folder), "s")
    last = champions.current()
    if last is None:
        champions.append(entry(1, ChampionEvent.VERDICT), adapter=source, rows=ROWS)
    if champions.current().number == 1:
        champions.append(entry(2), adapter=source, rows=ROWS)
    champions.link()

for write in range(1, 200):
    folder = root / str(write)
    child = os.fork()
    if child == 0:
        killed_at(write)
        call(folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    champions = Champions(Paths(folder), "s")
    for each in champions.entries():
        champions.adapter(each.version), champions.rows(each.version)
    call(folder)
    assert [each.number for each in champions.entries()] == [1, 2]
    assert (folder / "champions" / "s" / "adapter").resolve() == (folder / "champions" / "s" / "0002" / "adapter").resolve()
    left = sorted(path.name for path in (folder / "champions" / "s").iterdir())
    assert left == ["0001", "0002", "adapter"], left
    if code == 0:
        print("writes", write - 1)
        break
    assert code == 9, code
"""


@pytest.mark.slow
def test_killed_at_any_write_the_next_call_goes_on(tmp_path: Path, adapter: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "runs"), str(adapter)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 20


def test_a_challengers_folder_is_as_self_contained_as_the_champions(tmp_path: Path) -> None:
    previous, source = tmp_path / "champion", tmp_path / "challenger"
    for folder, base, weights in ((previous, "ORG/NAME", b"old"), (source, "/a/folder/of/this/machine", b"new")):
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": len(base)}))
        (folder / "adapter_model.safetensors").write_bytes(weights)
        (folder / "goldilocks.json").write_text(json.dumps({"study": "s", "trial": "old", "base_model": base}))
    (previous / "tokenizer.json").write_text("{}")
    (previous / "README.md").write_text("what the study's verdict said")
    made = replace(entry(2), training={"seed": 7})
    with challenger_folder(previous, source, made, tmp_path / "history") as folder:
        names = sorted(file.name for file in folder.iterdir())
        assert names == [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "goldilocks.json",
            "tokenizer.json",
        ]
        assert same_weights(folder, source)
        assert not same_weights(folder, previous)
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config == {"base_model_name_or_path": "ORG/NAME", "r": len("/a/folder/of/this/machine")}
        origin = json.loads((folder / "goldilocks.json").read_text())
        assert (origin["trial"], origin["seed"], origin["base_model"]) == ("trial2", 7, "ORG/NAME")
        assert "made up" in (folder / "README.md").read_text()
    assert list((tmp_path / "history").iterdir()) == []


def test_a_damaged_version_names_the_way_to_another(paths: Paths, adapter: Path) -> None:
    history = Champions(paths, "s")
    history.append(entry(1, ChampionEvent.VERDICT), adapter=adapter, rows=ROWS)
    assert history.way_out_of(1) == "python -m sweep.champion study=s adopt=true"
    for number in (2, 3):
        history.append(entry(number), adapter=adapter, rows=ROWS)
    with (history.adapter(3) / "adapter_config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(EnvironmentLacks, match=r"`python -m sweep\.champion study=s to=2`"):
        history.adapter(3)
    # neither the one in use nor a damaged one is a way out
    assert history.way_out_of(2).endswith("to=1")
    (history.adapter(1) / "adapter_config.json").unlink()
    assert history.way_out_of(2).endswith("adopt=true")
