"""The limits of a task stand on every page and card, and below what commands print."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sweep import Study
from sweep.commands.app import composed_plan
from sweep.commands.chosen_adapters import ChosenAdapter
from sweep.commands.predict import _limits
from sweep.config.task_limits import limits_of
from sweep.records import StudyRecord
from sweep.reports.closing import WIDTH, print_outcome
from sweep.reports.model_card import Card, model_card
from sweep.reports.page import Beside, answer_of, render, render_comparison
from sweep.store.paths import Paths
from sweep.study.recording import summary
from sweep.tracking import names
from sweep.verdict.conclude import conclude
from tests.conftest import arm, certified_record, result, study_record

LIMITS = "Made-up notes: no <medical> advice."
MARKDOWN = r"Made-up notes: no \<medical> advice."
ESCAPED = "Limits: Made-up notes: no &lt;medical&gt; advice."


def limited(record: StudyRecord) -> StudyRecord:
    return replace(record, config=yaml.safe_dump({"task": {"limits": LIMITS}}))


def printed(record: StudyRecord) -> str:
    file = io.StringIO()
    print_outcome(record, Paths(Path("/somewhere/mlruns")), None, Console(file=file, width=WIDTH, highlight=False))
    return file.getvalue()


def test_limits_are_shown_wherever_the_task_is() -> None:
    plain = certified_record()
    record = limited(plain)
    assert (limits_of(plain), limits_of(record)) == (None, LIMITS)
    for odd in ("text", "task: [1]", "\0"):
        assert limits_of(replace(plain, config=odd)) is None
    conclusion, trial = conclude(record), record.best()
    assert trial is not None
    assert ESCAPED in render(record, conclusion, answer_of(record, conclusion), Beside("today"))
    assert ESCAPED in render_comparison((record, conclusion), (plain, conclude(plain)), "today")
    card = Card(base="some/base", on_hub=True, chat_template=None, has_tokenizer=True)
    assert f"Limits: {MARKDOWN}" in model_card(record, conclusion, trial, card)


@pytest.mark.parametrize(
    "record", [certified_record(), study_record([result(arm(8), 0.3)])], ids=["judged", "searched"]
)
def test_the_terminal_the_notebook_and_mlflow_show_them(record: StudyRecord, tmp_path: Path) -> None:
    assert f"Limits: {LIMITS}\n" in printed(limited(record))
    assert f"<p>{ESCAPED}</p>" in Study(limited(record), Paths(tmp_path))._repr_html_()
    assert summary(limited(record)).tags[names.NOTE].endswith(f"\nLimits: {MARKDOWN}")


def test_nothing_is_said_of_a_task_without_limits(tmp_path: Path) -> None:
    record = certified_record()
    assert "Limits:" not in printed(record)
    assert "Limits:" not in Study(record, Paths(tmp_path))._repr_html_()
    assert "Limits:" not in summary(record).tags[names.NOTE]


def test_answers_of_an_adapter_come_with_the_limits_of_its_study() -> None:
    setups = {task: composed_plan([f"task={task}", "model=tiny"]).setup for task in ("medical", "pharma")}
    adapters = [ChosenAdapter(task, Path(task), setup, None) for task, setup in setups.items()]
    (line,) = _limits(adapters)
    assert line.startswith("medical: limits: ")
    assert "Not for clinical use" in line
