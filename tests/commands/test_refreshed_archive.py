"""`sweep.archive` of a study whose champion `sweep.refresh` has replaced: the other folder goes on with the same answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.commands.archive import archive
from sweep.commands.champion import champion
from sweep.commands.predict import predict
from tests.commands.test_refresh import WORDS, changing, entries, in_use, write
from tests.faults.conftest import Sweep, sweep

__all__ = ["changing", "sweep"]  # the fixtures

pytestmark = pytest.mark.slow


def refreshed(made: Sweep) -> str:
    done = made.run_here(*WORDS, "tracking.uri=memory://", module="sweep.refresh")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints in a folder."""

    def command(run: Callable[[list[str]], int], folder: Path, *words: str) -> str:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        assert run(list(words)) == 0
        return capsys.readouterr().out

    return command


def test_nights_go_on_in_another_folder(changing: Sweep, tmp_path: Path, said: Callable[..., str]) -> None:
    refreshed(changing)
    write(changing.data, ["a heavy purple", "a long orange"], train=48, validation=90, first=1000)
    refreshed(changing)
    assert [entry["event"] for entry in entries(changing)] == ["verdict", "promotion"]

    there = Sweep(tmp_path / "there", changing.data)
    there.folder.mkdir()
    said(archive, changing.folder, "study=faults")
    said(archive, there.folder, f"open={changing.folder / 'faults.goldilocks.zip'}")
    assert entries(there) == entries(changing)
    assert in_use(there) == "0002"
    asked = ("study=faults", "prompt=train 1000: the a heavy purple box", "max_new_tokens=8")
    for command, words in ((champion, ("study=faults",)), (predict, asked)):
        assert said(command, there.folder, *words) == said(command, changing.folder, *words)
    assert "have not changed: nothing to do" in refreshed(there)

    # a night that was killed before it came to its end, packed and continued elsewhere
    shutil.rmtree(changing.folder / "mlruns/champions/faults/0002")
    (changing.folder / "faults.goldilocks.zip").unlink()
    killed = Sweep(tmp_path / "killed", changing.data)
    killed.folder.mkdir()
    said(archive, changing.folder, "study=faults")
    said(archive, killed.folder, f"open={changing.folder / 'faults.goldilocks.zip'}")
    adapters = {file: file.stat().st_mtime_ns for file in killed.folder.glob("mlruns/adapters/*/*/training.json")}
    trials = killed.trial_results()
    assert "promotion" in refreshed(killed)
    assert (
        killed.trial_results()
        == trials
        == [killed.folder / file.relative_to(changing.folder) for file in changing.trial_results()]
    )
    after = {file: file.stat().st_mtime_ns for file in killed.folder.glob("mlruns/adapters/*/*/training.json")}
    assert after == adapters, "an adapter was trained again"
    assert {**entries(killed)[1], "created": ""} == {**entries(there)[1], "created": ""}
