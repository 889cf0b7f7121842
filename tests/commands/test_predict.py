"""`python -m sweep.predict`: its arguments, and the answers of real adapters of small real studies."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.chosen_adapters import ChosenAdapter, _check_one_base, chosen_adapters
from sweep.commands.predict import predict
from sweep.config.load import plan_of_record
from sweep.console.command import run
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import StudyRecord, to_json
from sweep.records.champion import ChampionEvent
from sweep.search.reading import studies_of
from sweep.search.storage import existing_storage
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.store.trials import SCORES, TrialStore
from tests.faults.in_process import run_here
from tests.store.test_champions import ROWS, entry

TOKENS = 4
# the second name has a dot, which PyTorch accepts in no module's name
FIRST, SECOND = "first", "second-1.5b"


def command(module: str, *words: str, folder: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


def study(name: str, *overrides: str, folder: Path) -> None:
    words = (
        *("model=tiny", "task=jsonl", "task.path=data", f"study.name={name}", "search.trials=1", "train.steps=4"),
        *("evaluate.examples=8", "evaluate.general_paragraphs=1", f"evaluate.max_new_tokens={TOKENS}"),
        *("tracking.uri=memory://", "certify=none", *overrides),
    )
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study; tests may read it only."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "data").mkdir()
    for split in ("train", "validation", "test"):
        lines = [
            json.dumps({"prompt": f"{split} {number}?", "completion": "yes" * (1 + number % 2)}) for number in range(24)
        ]
        (folder / "data" / f"{split}.jsonl").write_text("\n".join(lines))
    study(FIRST, "task.system_prompt=Be brief.", folder=folder)
    return folder


@pytest.fixture(scope="session")
def two_studies(studies: Path) -> Path:
    """The same folder with a second study on the same base, whose adapter answers differently."""
    study(SECOND, "train.learning_rate=2e-2", "search.space.learning_rate.high=0.1", folder=studies)
    return studies


def record_of(folder: Path, name: str) -> StudyRecord:
    with existing_storage(None, Paths.here(folder / "mlruns")) as storage:
        return studies_of(storage, name)[0]


def answers_in_training(folder: Path, name: str) -> dict[str, str]:
    """The adapter's answers right after its training, by prompt."""
    paths = Paths.here(folder / "mlruns")
    best = record_of(folder, name).best()
    assert best is not None
    lines = (TrialStore(paths).folder(best.spec.identity) / SCORES).read_text().splitlines()
    return {row["prompt"]: row["answer"] for row in map(json.loads, lines)}


def test_one_study_answers_as_it_did_in_training(studies: Path) -> None:
    prompt, expected = next(iter(answers_in_training(studies, FIRST).items()))
    done = command("sweep.predict", f"study={FIRST}", f"prompt={prompt}", f"max_new_tokens={TOKENS}", folder=studies)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{expected}\n", "")


@pytest.mark.slow
def test_several_studies_answer_in_turn_prompts_from_standard_input(two_studies: Path) -> None:
    first, second = (answers_in_training(two_studies, name) for name in (FIRST, SECOND))
    assert first != second
    done = command(
        "sweep.predict",
        *(f"study={FIRST}", f"study={SECOND}", "prompt=-", f"max_new_tokens={TOKENS}"),
        folder=two_studies,
        typed="\n".join(first) + "\n\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = [f"{name}: {known[prompt]}" for prompt in first for name, known in ((FIRST, first), (SECOND, second))]
    assert done.stdout.splitlines() == expected


def test_all_unknown_studies_are_reported(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(studies)
    with pytest.raises(ConfigurationError) as caught:
        predict(["study=frist", "study=second", "prompt=hello"])
    assert len(caught.value.problems) == 2
    assert FIRST in caught.value.problems[0]


def test_study_without_an_adapter(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(studies)
    adapter = Paths.here().adapter(FIRST)
    aside = adapter.rename(adapter.with_name("aside"))
    try:
        with pytest.raises(ConfigurationError, match=r"no adapter yet .*python -m sweep\.report study=first"):
            predict([f"study={FIRST}", "prompt=hello"])
    finally:
        aside.rename(adapter)


@pytest.fixture
def with_history(studies: Path) -> Iterator[Champions]:
    """The study, whose champion has two versions: the verdict's, and one that was promoted."""
    paths = Paths.here(studies / "mlruns")
    history, record = Champions(paths, FIRST), record_of(studies, FIRST)
    best = record.best()
    assert best is not None
    trained = TrialStore(paths).adapters.find(best.spec.adapter_id)
    for event in (ChampionEvent.VERDICT, ChampionEvent.PROMOTION):
        made = entry(len(history.entries()) + 1, event)
        trial = best.identity if event is ChampionEvent.VERDICT else made.trial
        made = replace(made, trial=trial, training=to_json(trained))
        history.append(made, adapter=paths.adapter(FIRST), rows=ROWS)
    yield history
    shutil.rmtree(paths.champions(FIRST))


def test_the_version_in_use_answers(with_history: Champions, studies: Path) -> None:
    paths = Paths.here(studies / "mlruns")

    def chosen(version: int | str | None) -> ChosenAdapter:
        (one,) = chosen_adapters([FIRST], lambda name: record_of(studies, name), paths, version)
        return one

    in_use, first, verdict = chosen(None), chosen(1), chosen("verdict")
    assert in_use.folder == with_history.adapter(2)
    assert in_use.version == "version 2 of its champion (promotion of 2026-01-01; in use)"
    assert (first.folder, first.version) == (with_history.adapter(1), None)
    assert (verdict.folder, verdict.version) == (paths.adapter(FIRST), None)
    assert in_use.base_hash == verdict.base_hash
    with pytest.raises(ConfigurationError, match="known: 1, 2"):
        chosen(3)
    (with_history.adapter(2) / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EnvironmentLacks, match="version 2 of the champion is damaged"):
        chosen(None)
    assert chosen("verdict") == verdict


def test_a_version_of_a_study_without_a_history(studies: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no version 1 of its champion \(known: none yet\)"):
        chosen_adapters([FIRST], lambda name: record_of(studies, name), Paths.here(studies / "mlruns"), 1)


def damage(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def pickle(weights: Path) -> None:
    weights.rename(weights.with_name("adapter_model.bin"))


@pytest.mark.parametrize(
    ("change", "said"),
    [(damage, r"adapter_model\.safetensors is damaged"), (pickle, "pickled adapters are not loaded")],
)
def test_weights_that_cannot_be_loaded(
    change: Callable[[Path], None], said: str, studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(studies)
    adapter = Paths.here().adapter(FIRST)
    aside = shutil.copytree(adapter, adapter.with_name("aside"))
    try:
        change(adapter / "adapter_model.safetensors")
        with pytest.raises(ConfigurationError, match=said):
            predict([f"study={FIRST}", "prompt=hello"])
    finally:
        shutil.rmtree(adapter)
        aside.rename(adapter)


def test_a_record_gives_its_plan(studies: Path) -> None:
    record = record_of(studies, FIRST)
    plan = plan_of_record(record.config)
    assert (plan.name, plan.setup.model.name, plan.setup.quant.name) == (FIRST, "tiny", "nf4")
    assert plan.setup.task.system_prompt == "Be brief."


def test_studies_on_other_bases_cannot_be_asked_together(studies: Path) -> None:
    record = record_of(studies, FIRST)
    plan = plan_of_record(record.config)
    other = plan_of_record(record.config.replace("name: nf4", "name: none"))
    one = ChosenAdapter("one", Path("one"), plan.setup, "aa" * 32)
    _check_one_base([one, ChosenAdapter("two", Path("two"), plan.setup, "aa" * 32)])
    for unlike in (
        ChosenAdapter("two", Path("two"), other.setup, "aa" * 32),
        ChosenAdapter("two", Path("two"), plan.setup, "bb" * 32),
    ):
        with pytest.raises(ConfigurationError, match=r"study=one is on tiny .*study=two on tiny .*one at a time"):
            _check_one_base([one, unlike])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study=first"], "prompt: a value is needed"),
        (["prompt=hello"], "study: a value is needed"),
        (["study=first", "prompt=hello", "max_new_tokens=0"], "max_new_tokens=0"),
        (["study=first", "prompt=hello", "max_new_tokens=1", "max_new_tokens=2"], "write it once"),
        (["study=first", "prompt=hello", "version=0"], "version=0: must be the number of a version"),
        (["study=first", "prompt=hello", "version=champion"], "or version=verdict"),
        (["study=first", "study=second", "prompt=hello", "version=1"], "name one study"),
        (["study=first", "promt=hello"], "did you mean 'prompt'"),
        (["study=first", "hello"], "write KEY=VALUE"),
    ],
)
def test_wrong_words(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(lambda: predict(words)) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_from_standard_input(tmp_path: Path) -> None:
    done = command("sweep.predict", "study=first", "prompt=-", folder=tmp_path, typed="\n \n")
    assert done.returncode == 2
    assert "standard input is empty" in done.stderr


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(["--help"]) == 0
    assert "python -m sweep.predict study=NAME" in capsys.readouterr().out
