"""A ladder of arms from the command line: ordered by cost, certified, handed out, resumed, and asked another question."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sweep.commands.predict import predict
from sweep.verdict.verdict_json import verdict_schema
from tests.conftest import write_made_task
from tests.faults.in_process import run_here

LADDER = "[{method: full}, {method: lora, r: 4}, {method: lora, r: 1, targets: [q_proj]}, {method: prompt_tuning, tokens: 3}]"
BY_BYTES = ["prompt tuning (3 tokens)", "LoRA at rank 1", "LoRA at rank 4", "full fine-tuning"]
WORDS = (
    *("model=tiny", "task=jsonl", "task.path=made", "tracking.uri=memory://", "quant=none", "study.name=arms"),
    *(
        "evaluate.examples=6",
        "evaluate.certify_examples=8",
        "evaluate.test_examples=6",
        "evaluate.general_paragraphs=1",
    ),
    *("evaluate.max_new_tokens=4", "train.steps=12", "certify.rate_trials=2", "certify.seeds=2", "executor.workers=1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arms")
    write_made_task(path / "made")
    return path


def verdict(folder: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads((folder / "mlruns/reports/arms/verdict.json").read_text())
    jsonschema.validate(contents, verdict_schema())
    return contents


def trained(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.glob("mlruns/adapters/*/*/training.json")}


@pytest.mark.slow
def test_from_the_ladder_to_the_model_that_is_handed_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # a margin that the cheapest arm misses and the others keep, or not: whatever the tiny model learns, the words must be right
    words = [*WORDS, f"certify.ladder={LADDER}", "certify.margin=0.5"]
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed
    found = verdict(folder)
    assert [row["arm"] for row in found["ladder"]] == BY_BYTES
    assert [row["rank"] for row in found["ladder"]] == [1, 2, 3, 4]
    for row in found["ladder"]:
        assert row["seeds"] == 2
        assert row["cost"] == row["adapter_bytes"]
        # a full model's file has a header; that of an adapter is known to the byte
        assert row["cost_before"] == pytest.approx(row["cost"], rel=0.02 if row["method"] == "full" else 0)
    assert found["ladder"][-1]["trainable_fraction"] == 1
    assert found["trials"]["complete"] == 4 * (2 + 2)
    assert not {finding["kind"] for finding in found["findings"]} & {"cost_order", "still_improving"}
    shown = " ".join(printed.split())
    for text in (found["headline"], shown, (folder / "mlruns/reports/arms/index.html").read_text()):
        assert not re.search(r"[Rr]anks? \d", re.sub(r"at rank \d", "", text)), text[:2000]
    assert "the cheapest method first, by adapter_bytes" in shown
    page = (folder / "mlruns/reports/arms/index.html").read_text()
    assert "The methods, the cheapest first" in page
    assert "pareto-adapter" in page
    card = (folder / "mlruns/reports/arms/adapter/README.md").read_text()
    assert "the cheapest method shown to match the best" in card
    monkeypatch.chdir(folder)
    assert predict(["study=arms", "prompt=test 0: the red box", "max_new_tokens=4"]) == 0
    assert capsys.readouterr().out.strip()

    before = trained(folder)
    code, again = run_here("sweep", words, folder)
    assert code == 0, again
    assert trained(folder) == before
    assert verdict(folder)["headline"] == found["headline"]

    # other costs, other orders: the same trainings answer
    code, printed = run_here("sweep", [*words, "certify.cost=trainable_parameters"], folder)
    assert code == 0, printed
    assert trained(folder) == before
    assert verdict(folder)["cost"] == "trainable_parameters"
    turned = "certify.ladder=[{method: full}, {method: lora, r: 4}]"
    code, printed = run_here("sweep", [*WORDS, turned, "certify.margin=0.5", "certify.cost=peak_memory"], folder)
    assert code == 0, printed
    assert trained(folder) == before
    found = verdict(folder)
    assert [row["method"] for row in found["ladder"]] == ["full", "lora"]
    assert [row["cost_before"] for row in found["ladder"]] == [None, None]


@pytest.mark.slow
def test_a_ladder_that_is_all_lora_is_packed_and_full_is_handed_out_as_a_model(folder: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("quant", "study.name"))]
    ladder = "certify.ladder=[{method: lora, r: 1}, {method: lora_plus, r: 4}]"
    code, printed = run_here("sweep", [*words, "study.name=arms", "quant=nf4", ladder, "certify.margin=0.9"], folder)
    assert code == 0, printed
    assert "engine=trainer" not in printed
    assert [row["arm"] for row in verdict(folder)["ladder"]] == ["LoRA at rank 1", "LoRA+ at rank 4"]
    ladder = "certify.ladder=[{method: full}, {method: full, learning_rate: 1e-3}]"
    code, printed = run_here("sweep", [*WORDS, ladder], folder)
    assert code == 2
    assert "arm 2 is the same as arm 1" in printed


def test_arms_that_cost_the_same_are_refused_before_anything_is_trained(folder: Path) -> None:
    ladder = "certify.ladder=[{method: lora, r: 2}, {method: lora_plus, r: 2}, {method: ia3, targets: [k_proj]}]"
    code, printed = run_here("sweep", [*WORDS, ladder, "study.name=equal"], folder)
    assert code == 2
    shown = " ".join(printed.split())
    assert "arm 1 (LoRA at rank 2) and arm 2 (LoRA+ at rank 2) cost the same" in shown
    assert not list(folder.glob("mlruns/reports/equal/*"))


@pytest.mark.slow
def test_qlora_beside_lora_each_on_its_own_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_made_task(tmp_path / "made")
    ladder = "[{method: full}, {method: lora, r: 2}, {method: lora, r: 2, quant: nf4}]"
    words = [*WORDS, f"certify.ladder={ladder}", "certify.margin=0.9", "certify.rate_trials=1"]

    def ran() -> str:
        command = [sys.executable, "-m", "sweep", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return " ".join(done.stdout.split())

    shown = ran()
    names = ["LoRA at rank 2 on nf4", "LoRA at rank 2", "full fine-tuning"]
    assert f"{names[0]} " in shown
    found = verdict(tmp_path)
    assert [row["arm"] for row in found["ladder"]] == names
    small, large = found["ladder"][:2]
    assert small["cost"] == small["cost_before"] == large["cost"] == large["cost_before"]
    assert small["peak_memory_bytes"] != large["peak_memory_bytes"]
    assert found["trials"] == {**dict.fromkeys(found["trials"], 0), "complete": 3 * (1 + 2)}
    assert not {finding["kind"] for finding in found["findings"]} & {"cost_order"}

    configs = [yaml.safe_load(file.read_text()) for file in tmp_path.glob("mlruns/trials/*/*/config.yaml")]
    bases = {(each["trial"]["arm"] or {}).get("quant"): each["foundation"]["quant"]["name"] for each in configs}
    assert bases == {None: "none", "nf4": "nf4"}
    before = trained(tmp_path)
    assert len(before) == 3 * (1 + 2)
    ran()
    assert trained(tmp_path) == before
    assert verdict(tmp_path)["headline"] == found["headline"]

    place = found["hands_out"]
    handed = tmp_path / "mlruns/reports/arms/adapter"
    quant = "nf4" if place == 1 else "none"
    assert json.loads((handed / "goldilocks.json").read_text())["quant"] == quant
    assert ("load_in_4bit=True" in (handed / "README.md").read_text()) == (quant == "nf4")
    monkeypatch.chdir(tmp_path)
    assert predict(["study=arms", "prompt=test 0: the red box", "max_new_tokens=4"]) == 0
    assert capsys.readouterr().out.strip()

    # in a study of nf4 the same recipes are the same trainings
    turned = [word for word in words if not word.startswith(("quant", "study.name", "certify.ladder"))]
    turned += ["quant=nf4", "study.name=turned", "certify.ladder=[{method: lora, r: 2}, {method: full, quant: none}]"]
    code, printed = run_here("sweep", turned, tmp_path)
    assert code == 0, printed
    assert trained(tmp_path) == before


@pytest.mark.slow
def test_the_study_of_methods(tmp_path: Path) -> None:
    words = [
        *("+study=pharma_methods", "model=tiny", "tracking.uri=memory://", "executor.workers=1", "train.steps=4"),
        *("certify.seeds=2", "certify.rate_trials=1", "evaluate.examples=4", "evaluate.certify_examples=6"),
        *("evaluate.test_examples=4", "evaluate.general_paragraphs=1", "evaluate.max_new_tokens=4", "study.name=arms"),
    ]
    code, printed = run_here("sweep", words, tmp_path)
    assert code == 0, printed
    found = verdict(tmp_path)
    assert {row["method"] for row in found["ladder"]} == {
        "prompt_tuning",
        "ia3",
        "prefix_tuning",
        "lora",
        "dora",
        "full",
    }
    costs = [row["cost"] for row in found["ladder"]]
    assert costs == sorted(costs)
    assert [row["arm"] for row in found["ladder"] if costs.count(row["cost"]) > 1] == [
        "LoRA at rank 8 on nf4",
        "LoRA at rank 8",
    ]
    assert (len(costs), found["left_out"], found["ladder"][-1]["method"]) == (9, [], "full")
    assert found["trials"]["complete"] == 9 * (1 + 2)
