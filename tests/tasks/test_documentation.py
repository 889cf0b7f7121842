"""The examples of docs/tasks.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.training.splits import problems_of
from tasks import registry, scoring
from tasks.splits import divide

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


def block(language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_task_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "boxes.py").write_text(block("python"))
    monkeypatch.chdir(tmp_path)
    plan = composed_plan(["task=boxes", "model=tiny"], problems_of)
    assert (plan.setup.task.metric, plan.setup.task.max_length) == ("boxes:names_the_colour", 128)
    splits = divide(registry.load("boxes"))
    assert (len(splits.train), len(splits.test), splits.warnings) == (300, 60, ())
    answers = [row.completion for row in splits.test]
    assert scoring.score_answers(plan.setup.task.metric, answers, splits.test) == 1.0
