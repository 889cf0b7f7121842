"""The whole plan of a study that was run before, from the records and the model's files that it left."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.plan import show_study_plan
from sweep.commands.planning.base_facts import facts_in
from sweep.commands.planning.outlook import outlook
from sweep.commands.planning.sizes import lora_parameters, sizes_of
from sweep.commands.planning.tables import show_rough
from sweep.config.load import with_steps
from sweep.records import Arm
from sweep.store.paths import Paths
from sweep.training.splits import load_splits
from sweep.training.weightless import made_sizes
from tests.commands.test_stored_study import COMMAND, STORED
from tests.conftest import arm


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study that ended, its data and its base."""
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(home: Path) -> list[Path]:
    """Everything there but locks."""
    return sorted(file for file in home.rglob("*") if file.suffix != ".lock")


def test_a_study_that_goes_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(home)
    show_study_plan(composed_plan([*COMMAND, "search.trials=9", "certify.ladder_by=train", "certify.ladder=[2,4,8]"]))
    printed = capsys.readouterr().out
    lines = [line.rstrip() for line in printed.splitlines()]
    assert max(map(len, lines)) <= 100
    assert "  state     resumes; finished search trials: 3, trials for the verdict: 6" in lines
    assert any(line.startswith("search   6 search trials (3 done)") for line in lines)
    assert any(line.startswith("From ") and " trainings recorded here" in line for line in lines)
    assert any(line.startswith("all_linear  ") for line in lines)
    assert any(line.startswith("memory  ") and "1 worker (measured here" in line for line in lines)
    assert any(line.startswith("disk    ") and " at most, under mlruns/" in line for line in lines)
    assert "This machine can do all of it." in lines
    assert "What 3 seeds decide, in simulated studies" in lines
    assert lines[-1] == "Nothing was trained or written."
    assert files(home) == before


def test_the_seconds_of_trials_that_ended_are_planned_again(home: Path) -> None:
    """Planned as new from its own records, a study takes about the seconds of its own trials."""
    paths = Paths(home / "mlruns")
    plan = composed_plan(COMMAND)
    splits = load_splits(plan.setup.task, paths)
    view = outlook(with_steps(plan, len(splits.train)), splits, paths, None)
    search = next(each for each in view.times if each.name == "search")
    assert search.low < search.middle < search.high
    assert view.speeds is not None
    assert view.speeds.measured
    assert view.decision is not None


def test_counted_and_made_adapters_are_of_one_size(home: Path) -> None:
    folder = home / "mlruns" / "models" / "tiny"
    facts = facts_in(folder)
    recipe = arm(4, targets=("down_proj", "q_proj", "v_proj"))
    (made,) = made_sizes([recipe], folder, steps=4)
    assert made.parameters == lora_parameters(facts, recipe.targets, 4)
    prompt = Arm(0, 0.0, 0.0, (), 1e-2, method="prompt_tuning", own=(("tokens", 4), ("init", "random")))
    counted, asked = sizes_of([recipe, prompt], facts, folder, steps=4)
    assert counted.parameters == made.parameters
    assert asked.parameters == 4 * int(facts.config["hidden_size"])


@pytest.mark.parametrize(
    ("seconds", "words"), [(41.4, "41 s"), (150, "2.5 min"), (754, "13 min"), (9000, "2 h 30 min")]
)
def test_times_are_as_exact_as_they_deserve(seconds: float, words: str) -> None:
    assert show_rough(seconds) == words


def test_of_a_study_that_is_done_nothing_is_left(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_study_plan(composed_plan([*COMMAND, "certify.ladder_by=train"]))
    lines = capsys.readouterr().out.splitlines()
    assert "Nothing is left to do: the same command prints the answer again." in lines
    assert "Trials" not in lines
