"""Every method through the commands: trained, stored, resumed without training, searched, reported and asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.commands.predict import predict
from sweep.methods import methods
from sweep.records import StudyRecord
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from tests.conftest import write_made_task
from tests.faults.in_process import run_here
from tests.methods.cases import CASES, marked

LITTLE = (
    *("model=tiny", "task=jsonl", "task.path=made", "tracking.uri=memory://", "quant.compute=float32"),
    *("evaluate.examples=6", "evaluate.general_paragraphs=1", "evaluate.max_new_tokens=4", "train.steps=12"),
)


INITIALIZATIONS = (("olora", "none"), ("loftq", "nf4"), ("eva", "int8"), ("gaussian", "none"), ("orthogonal", "fp4"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared: the tiny base is made once."""
    path = tmp_path_factory.mktemp("methods")
    write_made_task(path / "made")
    return path


def words_for(name: str) -> tuple[str, ...]:
    method, case = methods()[name], CASES[name]
    return (*LITTLE, f"method={name}", f"quant={method.quants[-1]}", f"train.learning_rate={case.rate}", *case.keys)


def record_of(folder: Path, name: str) -> StudyRecord:
    with existing_storage(None, Paths.here(folder / "mlruns")) as storage:
        return studies_of(storage, name)[0]


@pytest.mark.parametrize("name", marked(methods()))
def test_trains_and_resumes_without_training(name: str, folder: Path) -> None:
    code, printed = run_here("sweep.train", words_for(name), folder)
    assert code == 0, printed
    assert ("engine=trainer is used instead" in " ".join(printed.split())) == (not methods()[name].packed)
    adapter = folder / printed.split("adapter: ")[1].split(" (")[0]
    record = json.loads((adapter.parent / "training.json").read_text())
    losses = [step["loss"] for step in record["history"]]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert record["arm"]["method"] == name
    assert ("rank" in record["arm"]) == methods()[name].has_rank
    before = {file: file.stat().st_mtime_ns for file in adapter.parent.rglob("*")}
    code, again = run_here("sweep.train", words_for(name), folder)
    assert code == 0, again
    assert {file: file.stat().st_mtime_ns for file in adapter.parent.rglob("*")} == before
    assert again.split("adapter: ")[1] == printed.split("adapter: ")[1]


@pytest.mark.parametrize(
    ("name", "trials"), [("prompt_tuning", 3), pytest.param("full", 2, marks=pytest.mark.slow), ("dora", 2)]
)
def test_a_study_is_searched_reported_and_asked(
    name: str, trials: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [key for key in CASES[name].keys if not key.startswith("method.")]
    words = [word for word in words_for(name) if word not in CASES[name].keys]
    words += [*keys, f"study.name={name}", f"search.trials={trials}", "certify=none", "executor.workers=1"]
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed
    record = record_of(folder, name)
    assert len(record.complete()) == trials
    arms = [trial.arm for trial in record.complete()]
    assert all((arm.rank > 0) == methods()[name].has_rank for arm in arms)
    assert methods()[name].title in printed
    shares = [trial.measures.trainable_fraction for trial in record.complete()]
    assert all(share == 1 if name == "full" else 0 < share < 0.5 for share in shares)
    card = (folder / "mlruns" / "reports" / name / "adapter" / "README.md").read_text()
    assert f"method {name}" in card
    monkeypatch.chdir(folder)
    code = predict([f"study={name}", "prompt=test 0: the red box", "max_new_tokens=4"])
    assert code == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    code, again = run_here("sweep", words, folder)
    assert code == 0, again
    assert len(record_of(folder, name).trials) == trials


def words_with(init: str, quant: str) -> tuple[str, ...]:
    own = ("train.steps=6", "train.learning_rate=1e-3", f"lora.init={init}", f"quant={quant}")
    return (*(word for word in LITTLE if not word.startswith("train.steps")), *own)


@pytest.mark.parametrize(
    ("init", "quant"), [("pissa", "fp4"), *(pytest.param(*each, marks=pytest.mark.slow) for each in INITIALIZATIONS)]
)
def test_an_initialization_is_trained_and_resumed(init: str, quant: str, folder: Path) -> None:
    words = (*words_with(init, quant), "lora.r=4")
    code, printed = run_here("sweep.train", words, folder)
    assert code == 0, printed
    assert "engine=trainer" not in printed, "the packed engine takes it"
    adapter = folder / printed.split("adapter: ")[1].split(" (")[0]
    record = json.loads((adapter.parent / "training.json").read_text())
    assert record["arm"]["init"] == init
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["r"] == record["arm"]["rank"] * (2 if init in ("pissa", "olora") else 1)
    before = {file: file.stat().st_mtime_ns for file in adapter.parent.rglob("*")}
    code, again = run_here("sweep.train", words, folder)
    assert code == 0, again
    assert {file: file.stat().st_mtime_ns for file in adapter.parent.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize(("init", "quant"), [("pissa", "fp4"), ("loftq", "nf4")])
def test_a_study_with_an_initialization_is_reported_and_asked(
    init: str, quant: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certified = (
        "certify=train",
        "certify.ladder=[2,4]",
        "certify.seeds=2",
        "certify.first_look=2",
        "certify.rate_trials=1",
    )
    study = (
        f"study.name={init}",
        "search.trials=2",
        "search.space.rank=[2,4]",
        "executor.workers=1",
        "search.arms=[{r: 4}]",
    )
    code, printed = run_here(
        "sweep", [*words_with(init, quant), *study, *certified, "search.space.learning_rate.low=5e-4"], folder
    )
    assert code == 0, printed
    card = (folder / "mlruns" / "reports" / init / "adapter" / "README.md").read_text()
    assert f"lora.init={init}" in card
    assert f'bnb_4bit_quant_type="{quant}"' in card
    monkeypatch.chdir(folder)
    assert predict([f"study={init}", "prompt=test 0: the red box", "max_new_tokens=4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
