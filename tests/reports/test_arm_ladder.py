"""A ladder of arms as it is shown: terminal, page, pictures and model card name methods, and what they cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from sweep.records import StudyRecord
from sweep.reports.closing import print_outcome
from sweep.reports.model_card import Card, model_card
from sweep.reports.page.methods_charts import methods_charts
from sweep.reports.pictures import draw_ladder
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen, rank_results
from tests.reports.made_page import page
from tests.verdict.arm_ladders import arms_record

CLEAR = (0.9, 0.3, 0.3, 0.3)
NAMES = ("prompt tuning (8 tokens)", "LoRA at rank 2", "LoRA at rank 8", "full fine-tuning")


@pytest.fixture
def record() -> StudyRecord:
    return arms_record(CLEAR, final=(2, 4))


def without_names(text: str) -> str:
    return re.sub(r"at rank \d", "", text)


def test_the_terminal(record: StudyRecord, tmp_path: Path) -> None:
    out = Console(width=150, record=True, force_terminal=False)
    print_outcome(record, Paths.here(tmp_path), "memory://", out)
    text = out.export_text()
    assert "methods, on certify" in text
    assert "→ LoRA at rank 2" in text
    for name in NAMES:
        assert name in text
    for head in ("forgets", "trained", "gap to"):
        assert head in text
    assert "the cheapest method first, by adapter_bytes" in " ".join(text.split())
    assert "most expensive: full fine-tuning" in text
    assert "all trials" not in text
    assert not re.search(r"\branks?\b", without_names(text)), without_names(text)


def test_the_page(record: StudyRecord) -> None:
    html = page(record)
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    for name in NAMES:
        assert name in text
    for words in (
        "The methods, the cheapest first",
        "Ordered by adapter_bytes",
        "gap to full",
        "trained share",
        "forgetting",
    ):
        assert words in text
    assert "<h1>LoRA at rank 2</h1>" in html
    assert "the cheapest method that is enough" in text
    shown = without_names(text.split("All trials")[0])
    assert not re.search(r"\b[Rr]anks?\b", shown), re.findall(r".{60}\b[Rr]anks?\b.{60}", shown)


def test_losses_against_costs(record: StudyRecord) -> None:
    rows = rank_results(record, conclude(record))
    charts = methods_charts(record, rows)
    assert [chart.name for chart in charts] == ["pareto-adapter", "pareto-memory", "pareto-time"]
    assert all(name in str(charts[0]) for name in NAMES)


def test_the_pictures(record: StudyRecord, tmp_path: Path) -> None:
    assert draw_ladder(record, conclude(record), tmp_path / "ladder.svg")
    drawn = (tmp_path / "ladder.svg").read_text()
    assert "method, the cheapest first" in drawn
    assert "full fine-tuning" in drawn


@pytest.mark.parametrize(("losses", "kind"), [(CLEAR, "A LoRA adapter for"), ((0.9, 0.8, 0.7, 0.3), "All weights of")])
def test_the_model_card(losses: tuple[float, ...], kind: str) -> None:
    record = arms_record(losses)
    conclusion = conclude(record)
    trial = chosen(record, conclusion)
    assert trial is not None
    card = model_card(record, conclusion, trial, Card("BASE", False, None, True))
    assert kind in card
    assert "looks for the cheapest method shown to match the best" in card
    assert "certify, mean of 3 seeds" in card
