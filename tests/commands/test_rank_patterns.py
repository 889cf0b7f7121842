"""Ranks of single modules from the command line: a ladder that is cut, a ladder of arms, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.in_process import run_here

WORDS = (
    *("task=jsonl", "task.path=boxes", "task.metric=accuracy", "model=tiny", "quant=none", "tracking.uri=memory://"),
    *(
        "executor.workers=1",
        "train.steps=12",
        "train.batch_size=2",
        "search.space.targets=[all_linear]",
        "search.trials=1",
    ),
    *("lora.targets=all_linear", "search.space.rank=[8]", "certify.rate_trials=1", "certify.seeds=2"),
    *("certify.margin=0.9", "evaluate.examples=4", "evaluate.certify_examples=6", "evaluate.test_examples=4"),
    *(
        "evaluate.general_paragraphs=1",
        "evaluate.general_questions=0",
        "train.learning_rate=5e-3",
        "study.name=patterns",
    ),
)
PATTERN = "lora.rank_pattern={layers.0.*.q_proj: 3, down_proj: 12}"


@pytest.fixture
def folder(tmp_path: Path, made_task: Path) -> Path:
    (tmp_path / "boxes").symlink_to(made_task)
    return tmp_path


def written(folder: Path, name: str, study: str = "patterns") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "mlruns/reports" / study / name).read_text())
    return loaded


@pytest.mark.slow
def test_what_matches_no_module_is_refused_before_anything_is_trained(folder: Path) -> None:
    bad = ["lora.rank_pattern={down_prj: 4, q_proj: 2}", "lora.alpha_pattern={lm_head: 3}", "lora.layers=0-5"]
    code, printed = run_here("sweep", [*WORDS, *bad], folder)
    shown = " ".join(printed.split())
    assert code == 2, printed
    assert "lora.layers=0-5: the model has no layer 2-5 (it has layers 0 to 1)" in shown
    assert "'down_prj' matches the name of no target module; did you mean 'down_proj'?" in shown
    assert "lora.alpha_pattern: 'lm_head' matches the name of no target module" in shown
    assert not list(folder.glob("mlruns/trials/*/*"))


@pytest.mark.slow
def test_a_ladder_that_is_cut_keeps_the_modules_with_a_rank_of_their_own(folder: Path) -> None:
    words = [*WORDS, PATTERN, "certify.ladder=[1,8]"]
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed
    assert "2 patterns of ranks" not in printed
    assert "down_proj rank 12" in printed
    found = written(folder, "verdict.json")
    assert found["adapter_config"]["rank_pattern"] == {"layers.0.*.q_proj": 3, "down_proj": 12}
    config = written(folder, "adapter/adapter_config.json")
    assert (config["r"], config["rank_pattern"]["down_proj"]) == (found["hands_out"], 12)
    assert config["alpha_pattern"]["down_proj"] == 12 * config["lora_alpha"] / config["r"]
    assert "down_proj rank 12" in (folder / "mlruns/reports/patterns/adapter/README.md").read_text()
    assert "Which modules got the rank" in (folder / "mlruns/reports/patterns/index.html").read_text()
    sizes = {row["rank"]: row["trainable_parameters"] for row in found["ladder"]}
    assert sizes[1] < sizes[8] < 9 * sizes[1]
    kept = {file: file.stat().st_mtime_ns for file in folder.glob("mlruns/trials/*/*/result.json")}
    code, printed = run_here("sweep", words, folder)
    assert code == 0, printed
    assert kept == {file: file.stat().st_mtime_ns for file in folder.glob("mlruns/trials/*/*/result.json")}


@pytest.mark.slow
def test_arms_of_a_ladder_differ_by_pattern(folder: Path) -> None:
    ladder = (
        "certify.ladder=[{method: lora, r: 2, layers: 1}, {method: lora, r: 4, rank_pattern: {down_proj: 2}}, "
        "{method: dora, r: 4, rank_pattern: {q_proj: 8}}]"
    )
    words = [word for word in WORDS if not word.startswith("search.trials")]
    code, printed = run_here("sweep", [*words, ladder], folder)
    assert code == 0, printed
    rows = written(folder, "verdict.json")["ladder"]
    assert [row["arm"] for row in rows] == [
        "LoRA at rank 2 (layer 1)",
        "LoRA at rank 4 (down_proj rank 2)",
        "DoRA at rank 4 (q_proj rank 8)",
    ]
    assert [row["cost_before"] for row in rows] == [row["adapter_bytes"] for row in rows]
