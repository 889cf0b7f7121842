"""The chosen adapter as an MLflow model: it loads in three ways, holds no base, and has one version per trial."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from sweep.errors import EnvironmentLacks
from sweep.records import Status, TrialResult
from sweep.tracking import Champion, SweepRun, Tracker, record_queue
from sweep.tracking.champion_model import write_model
from sweep.tracking.journal import Journal, JournalFolder
from sweep.tracking.memory_tracker import MemoryTracker
from sweep.tracking.mlflow_tracker import MlflowTracker
from sweep.tracking.port import RecordRefused, Summary
from sweep.tracking.recorder import Recorder
from tests.tracking.made_champion import made_champion

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]

TEMPLATE = "{% for turn in messages %}{{ turn['role'] }}: {{ turn['content'] }}; {% endfor %}"
SWEEP = SweepRun("pharma", "study: {}\n")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base, and beside it the folder of an adapter that changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sweep.training.made_models import make_tiny_model

    base = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_model(base)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.5)
    folder = base.with_name("adapter")
    adapted.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return base


@pytest.fixture
def champion(tiny: Path) -> Champion:
    serving = {"base_folder": str(tiny), "base_model": "tiny", "system_prompt": "Name the colour."}
    return made_champion(tiny.with_name("adapter"), serving=serving)


@pytest.mark.filterwarnings("ignore")  # MLflow warns of its own type hints, and pandas of what MLflow does
def test_one_folder_loads_as_pyfunc_as_a_pipeline_and_with_plain_peft(
    champion: Champion, tiny: Path, tmp_path: Path
) -> None:
    import mlflow.pyfunc
    import mlflow.transformers
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "model"
    write_model(folder, champion)
    assert not [file for file in folder.rglob("*.safetensors") if file.name != "adapter_model.safetensors"]

    model = mlflow.pyfunc.load_model(str(folder))
    assert model.metadata.signature.inputs.input_names() == ["prompt"]
    example = model.input_example
    answers = list(model.predict(example))
    assert len(answers) == 1
    prompt = example["prompt"][0]
    assert list(model.predict([{"prompt": prompt}] * 2)) == answers * 2
    assert list(model.predict({"prompt": [prompt, prompt]})) == answers * 2

    # what anyone would write, with PEFT alone
    adapter = folder / "data" / "adapter"
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapter).eval()
    turns = [{"role": "system", "content": "Name the colour."}, {"role": "user", "content": "the red box"}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    with torch.no_grad():
        said = plain.generate(**inputs, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    expected = tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answers == [expected]

    pipeline = mlflow.transformers.load_model(str(folder))
    with torch.no_grad():
        piped = pipeline.model.eval()(**inputs).logits
        assert torch.allclose(piped, plain(**inputs).logits)
        assert not torch.allclose(piped, AutoModelForCausalLM.from_pretrained(tiny)(**inputs).logits)
    # on another machine, where the base lies elsewhere
    moved = mlflow.transformers.load_model(str(folder), base_model_path=str(tiny), return_type="components")
    assert isinstance(moved["model"], PeftModel)


def opened(kind: str, tmp_path: Path, empty_store: Path) -> Tracker:
    """A tracker of a kind on a store of its own."""
    if kind == "memory":
        return MemoryTracker()
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    uri, artifacts = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts"
    return MlflowTracker(uri, artifacts) if kind == "sqlite" else Recorder(uri, artifacts, tmp_path / "kept")


def versions(tmp_path: Path, tracker: Tracker) -> list[Any]:
    if isinstance(tracker, MemoryTracker):
        return [each.trial for each in tracker.champions["pharma-goldilocks"]]
    if isinstance(tracker, Recorder):
        assert tracker.settle()
    found = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_model_versions("name = 'pharma-goldilocks'")
    return [each.tags["sweep.trial"] for each in sorted(found, key=lambda each: int(each.version))]


@pytest.mark.parametrize("kind", ["memory", "sqlite", "recorder"])
def test_a_trial_has_one_version_and_another_one_the_next(kind: str, tmp_path: Path, empty_store: Path) -> None:
    tracker = opened(kind, tmp_path, empty_store)
    first = made_champion(tmp_path / "adapter")
    parent = tracker.open_sweep(SWEEP)
    tracker.register(parent, first)
    tracker.register(parent, replace(first, description="Rank 8 is still enough."))
    assert versions(tmp_path, tracker) == [first.trial]
    tracker.register(parent, made_champion(tmp_path / "other", trial="4567"))
    assert versions(tmp_path, tracker) == [first.trial, "4567"]
    assert tracker.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert not tracker.refused_registration


@pytest.mark.parametrize("kind", ["memory", "sqlite", "recorder"])
def test_an_alias_that_is_released_names_no_version(kind: str, tmp_path: Path, empty_store: Path) -> None:
    tracker = opened(kind, tmp_path, empty_store)
    assert tracker.end_left(SWEEP)
    tracker.release("pharma-goldilocks", "champion")  # there is no such model yet
    tracker.register(None, replace(made_champion(tmp_path / "adapter"), aliases=("champion", "verdict")))
    for _ in range(2):
        tracker.release("pharma-goldilocks", "champion")
    assert versions(tmp_path, tracker) == ["0123abcd"]
    assert not tracker.refused_registration
    if isinstance(tracker, MemoryTracker):
        assert tracker.aliases == {"pharma-goldilocks": {"verdict": "0123abcd"}}
    else:
        model = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_registered_model("pharma-goldilocks")
        assert model.aliases == {"verdict": 1}
        assert model.description == "The version in use is not registered here."


def test_the_version_says_what_the_verdict_was(tmp_path: Path, empty_store: Path) -> None:
    tracker = opened("sqlite", tmp_path, empty_store)
    parent = tracker.open_sweep(SWEEP)
    tracker.register(parent, made_champion(tmp_path / "adapter"))
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    version = client.get_model_version_by_alias("pharma-goldilocks", "champion")
    assert version.tags.items() >= {"sweep.trial": "0123abcd", "sweep.verdict": "certified"}.items()
    assert (version.description, version.run_id) == ("Rank 8 is enough.", parent)
    run = client.get_run(parent)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.status, model.name) == ("READY", "r8-lr1_5e-03-s1")
    folder = Path(model.artifact_location.removeprefix("file://"))
    kept = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert kept >= {
        "MLmodel",
        "data/adapter/adapter_model.safetensors",
        "data/adapter/serving.json",
        "input_example.json",
    }
    assert "code/goldilocks_champion.py" in kept


def test_an_adapter_that_was_replaced_meanwhile_is_refused(tmp_path: Path, empty_store: Path) -> None:
    tracker = opened("sqlite", tmp_path, empty_store)
    parent = tracker.open_sweep(SWEEP)
    champion = made_champion(tmp_path / "adapter")
    made_champion(tmp_path / "adapter", trial="another")
    with pytest.raises(RecordRefused, match="does not hold the adapter"):
        tracker.register(parent, champion)


def test_a_registration_that_broke_off_is_completed(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, champion = opened("sqlite", tmp_path, empty_store), made_champion(tmp_path / "adapter")
    parent = tracker.open_sweep(SWEEP)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "finalize_logged_model", broken)
        with pytest.raises(EnvironmentLacks) as caught:
            tracker.register(parent, champion)
    assert not isinstance(caught.value, RecordRefused)
    tracker.register(parent, champion)
    assert versions(tmp_path, tracker) == [champion.trial]
    run = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(parent)
    assert len(run.outputs.model_outputs) == 1


def broken(*args: Any, **kwargs: Any) -> None:
    raise MlflowException("the database is locked", TEMPORARILY_UNAVAILABLE)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "recorder"])
def test_without_a_sweep_a_version_comes_from_the_run_of_its_trial(
    kind: str, complete: TrialResult, tmp_path: Path, empty_store: Path
) -> None:
    tracker, champion = opened(kind, tmp_path, empty_store), made_champion(tmp_path / "adapter")
    parent = tracker.open_sweep(SWEEP)
    run_id = tracker.open_trial(parent, complete.spec)
    tracker.close_trial(run_id, complete, [])
    assert tracker.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert tracker.end_left(SWEEP)
    tracker.register(None, replace(champion, aliases=("verdict",), description="Version {version}."))
    assert versions(tmp_path, tracker) == [complete.spec.identity]
    if not isinstance(tracker, MemoryTracker):
        client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
        version = client.get_model_version_by_alias("pharma-goldilocks", "verdict")
        assert (version.run_id, version.description) == (run_id, "Version 1.")
        assert client.get_registered_model("pharma-goldilocks").aliases == {"verdict": 1}
        assert len(client.get_run(run_id).outputs.model_outputs) == 1


@pytest.mark.parametrize("kind", ["memory", "sqlite", "recorder"])
def test_runs_that_killed_sweeps_left_are_ended_without_another_run(
    kind: str, complete: TrialResult, tmp_path: Path, empty_store: Path
) -> None:
    tracker = opened(kind, tmp_path, empty_store)
    parent = tracker.open_sweep(SWEEP)
    trial = tracker.open_trial(parent, complete.spec)
    assert tracker.end_left(replace(SWEEP, known_results={trial: (complete, [])}))
    if isinstance(tracker, MemoryTracker):
        states = {run.id: run.status for run in tracker.runs.values()}
    else:
        client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
        experiment = client.get_experiment_by_name("pharma")
        states = {run.info.run_id: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert states == {parent: "KILLED", trial: "FINISHED"}


def test_what_was_registered_without_a_run_while_the_store_was_away_is_recorded_later(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_queue, "_AWAY_SECONDS", 1.0)
    database, aside = tmp_path / "mlflow.db", tmp_path / "aside"
    first = opened("recorder", tmp_path, empty_store)
    assert first.end_left(SWEEP)
    database.rename(aside)
    database.write_bytes(b"gone" * 1000)
    first.register(None, made_champion(tmp_path / "adapter"))
    assert not first.settle()
    del first
    aside.rename(database)
    later = Recorder(f"sqlite:///{database}", tmp_path / "artifacts", tmp_path / "kept")
    assert later.end_left(SWEEP)
    assert versions(tmp_path, later) == ["0123abcd"]
    assert not list((tmp_path / "kept").glob("*"))


def test_what_cannot_be_registered_holds_up_no_record(tmp_path: Path, empty_store: Path) -> None:
    recorder = opened("recorder", tmp_path, empty_store)
    parent = recorder.open_sweep(SWEEP)
    recorder.register(parent, replace(made_champion(tmp_path / "adapter"), code=str(tmp_path / "missing.py")))
    assert recorder.close_sweep(parent, Status.COMPLETE, Summary(), [])
    assert recorder.refused_registration
    assert versions(tmp_path, recorder) == []


@pytest.mark.parametrize("recorded", [False, True], ids=["killed before", "killed after it was recorded"])
def test_a_killed_sweep_leaves_its_champion_to_the_next(recorded: bool, tmp_path: Path, empty_store: Path) -> None:
    """It is in the journal until the store is known to have it; the next sweep records it, once."""
    tracker, champion = opened("sqlite", tmp_path, empty_store), made_champion(tmp_path / "adapter")
    parent = tracker.open_sweep(SWEEP)
    if recorded:
        tracker.register(parent, champion)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    journal = Journal(JournalFolder(tmp_path / "kept", uri), "pharma", {"sweep": parent, "params": {}})
    journal.append({"do": "register", "run": parent, "champion": asdict(champion)})
    later = Recorder(uri, tmp_path / "artifacts", tmp_path / "kept")
    later.open_sweep(SWEEP)
    assert versions(tmp_path, later) == [champion.trial]
    assert not journal.file.exists()
