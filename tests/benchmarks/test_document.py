"""A command writes the figures into the pages, and every figure there was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.document import PAGES, blocks, marked, results_in, written
from benchmarks.time_to_verdict import grid, seeds_of
from tests.conftest import certified_record

MACHINE = {"device": "cpu", "name": "a processor", "cores": 2, "compute": "float32", "date": "2026-01-02"}


def naive(**changes: Any) -> dict[str, Any]:
    """A results file in miniature; the figures are made up."""
    return {
        "kind": "against_naive",
        "data": "boxes",
        "machine": MACHINE,
        "asked": {"trials": 2, "steps": 3, "batch": 4},
        "the_same": {"examples_scored": 8},
        "peer": {"seconds": 100.0},
        "ours": {"seconds": 40.0, "parts": {"loading": 10.0, "train": 30.0}},
        "ratio": 2.5,
        "layouts": [
            {"workers": 2, "threads": 1, "slots": 2, "seconds": 40.0},
            {"workers": 1, "threads": 2, "slots": 2, "seconds": 50.0},
        ],
        "losses": [{"peer": 0.5, "ours": 0.7}, {"peer": 0.3, "ours": 0.2}],
        "arithmetic": {
            "flops": {"train": 5e12, "score": 1e12, "peer_train": 9e12, "peer_score": 2e12},
            "parts": {"train": {"gflops": 150.0, "roof_gflops": 300.0, "share_of_roof": 0.5}},
            "seconds_at_the_roof": 20.0,
            "share_of_whole": 0.5,
        },
        **changes,
    }


VERDICT = {
    "kind": "time_to_verdict",
    "data": "boxes",
    "machine": MACHINE,
    "verdict": {"status": "certified", "rank": 8, "bracket": [4, 8]},
    "ours": {"seconds": 300.0, "trainings": 20},
    "grid": grid(5, 4, 3, 50.0),
    "ratio": 10.0,
}


ORCHESTRATION = {
    "kind": "orchestration",
    "machine": MACHINE,
    "runs": [
        {
            "trials": 1000,
            "whole": {"ms": 30.04, "cpu_ms": 25.0, "parts_ms": {"MLflow": 20.0, "sampler": 4.0}},
            "last": {"ms": 31.0, "cpu_ms": 26.0, "parts_ms": {"MLflow": 20.0, "sampler": 5.0}, "trials": 100},
        }
    ],
}


def test_overhead_is_shown_with_its_parts() -> None:
    shown = blocks([ORCHESTRATION])["orchestration"]
    assert "| trials | per trial, besides its training | last tenth | CPU time | MLflow | sampler |" in shown
    assert "| 1,000 | 30.0 ms | 31.0 ms | 25.0 ms | 20.0 | 4.0 | a processor, 2 cores, float32, 2026-01-02 |" in shown


CASE = {"data": "boxes", "slots": 2, "rank": 8, "targets": "q_v", "batch": 4, "quant": "nf4", "cache": "always"}
MEMORY = {
    "kind": "memory_model",
    "model": "a model",
    "machine": MACHINE,
    "cases": [{**CASE, "dropout": 0.1, "predicted": 1_020_000_000, "measured": 1_000_000_000, "error": 0.02}],
    "summary": {"cases": 1, "median_error": 0.02, "largest_error": 0.02},
}


def test_a_block_for_each_kind_of_result() -> None:
    assert blocks([]) == {}
    assert set(blocks([MEMORY])) == {"memory"}
    assert set(blocks([ORCHESTRATION])) == {"orchestration"}
    assert set(blocks([naive()])) == {"speed", "parts", "arithmetic", "layouts", "losses"}
    assert set(blocks([VERDICT])) == {"verdict"}


def test_tables_say_what_was_measured() -> None:
    texts = blocks(
        [naive(), naive(data="leaflets", machine={**MACHINE, "device": "cuda", "compute": "bfloat16"}), VERDICT]
    )
    assert (
        "| boxes | 2 of 3 steps, batch 4, 8 scored | 100 s | 40 s | 2.5 | a processor, 2 cores, float32, 2026-01-02 |"
        in (texts["speed"])
    )
    assert "a processor, bfloat16, 2026-01-02" in texts["speed"]
    assert "| train | 30.0 s, 75% | 30.0 s, 75% |" in texts["parts"]
    assert "| whole process | 40.0 s | 40.0 s |" in texts["parts"]
    assert "| boxes | train | 5.0 | 9.0 | 150 | 300 | 50% |" in texts["arithmetic"]
    assert (
        "- leaflets, GPU: at the roof the arithmetic alone would take 20.0 s, 50% of the whole process."
        in (texts["arithmetic"])
    )
    assert "| boxes | 1 | 2 | 2 | 50.0 s | 2.00 |" in texts["layouts"]
    assert "| boxes | 2 | 0.400 | 0.450 | 0.150 |" in texts["losses"]
    assert (
        "| boxes | 5 ranks x 4 rates x 3 seeds | 50.0 s | 50 min | 300 s (20 trainings) | 10.0 | certified: 8 |"
        in (texts["verdict"])
    )
    assert "The grid was not run" in texts["verdict"]
    memory = blocks([MEMORY])["memory"]
    assert "| boxes | 2 | 8 | q_v, dropout 0.1 | 4 | nf4, copies | 1,020 MB | 1,000 MB | +2.0% |" in memory
    assert "Median error 2.0%, largest 2.0% (a model, a processor, 2 cores, float32, 2026-01-02)." in memory


def test_two_runs_on_the_same_data_are_told_apart() -> None:
    texts = blocks([naive(), naive(asked={"trials": 9, "steps": 3, "batch": 4}), naive(data="leaflets")])
    assert "| part | boxes, 2 trials | boxes, 9 trials | leaflets |" in texts["parts"]
    assert "| boxes, 9 trials | 1 | 2 | 2 | 50.0 s | 2.00 |" in texts["layouts"]


def test_what_is_not_certified_is_shown_as_a_bracket() -> None:
    undecided = {**VERDICT, "verdict": {"status": "undecided", "rank": None, "bracket": [4, 32]}}
    assert "undecided, 4..32" in blocks([undecided])["verdict"]


def test_blocks_are_replaced_and_nothing_else() -> None:
    page = "before\n<!-- benchmark: speed -->\nold\nfigures\n<!-- end -->\nafter\n<!-- calibration: run -->\nkept\n<!-- end -->\n"
    texts = {"speed": "new"}
    once = written(page, texts)
    assert once == page.replace("old\nfigures", "new")
    assert written(once, texts) == once
    assert marked(page) == ["speed"]
    with pytest.raises(KeyError):
        written(page, {})


def test_results_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": name}))
    assert [result["data"] for result in results_in(tmp_path)] == ["a", "b"]
    assert results_in(tmp_path / "none") == []


def test_pages_hold_the_figures_of_the_last_run() -> None:
    texts = blocks(results_in())
    shown = [name for page in PAGES for name in marked(page.read_text())]
    assert set(shown) == set(texts), "every result is shown, and nothing without one"
    for page in PAGES:
        assert written(page.read_text(), texts) == page.read_text(), "python -m benchmarks.document"


def test_a_grid_is_every_rank_with_every_rate_and_seed() -> None:
    assert grid(5, 4, 3, 10.0)["trials"] == 60
    assert grid(5, 4, 3, 10.0)["seconds"] == 600.0
    assert seeds_of(certified_record(seeds=5)) == 5
