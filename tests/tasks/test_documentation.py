"""The examples of docs/tasks.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.training.splits import problems_of
from tasks import Example, registry, scoring
from tasks.own_data import examples_of
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


def test_the_task_of_the_page_whose_answers_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"<!-- task: arithmetic.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "arithmetic.py").write_text(found[1])
    monkeypatch.chdir(tmp_path)
    splits = divide(registry.load("arithmetic"))
    answers = [row.completion for row in splits.test]
    metric = registry.find("arithmetic").metric
    assert scoring.score_answers(metric, answers, splits.test) == 1.0
    assert scoring.score_answer(metric, f"{answers[0]} - 1", splits.test[0]) == pytest.approx(1 / 3)


OPEN = Example("Is it open?", "Yes.")
READ = {
    "chats.jsonl": (
        "chats",
        Example("Is it open?", "Yes.", history=(("system", "Be brief."),), group="Is it open?"),
        Example(
            "Until when?",
            "Six.",
            history=(("system", "Be brief."), ("user", "Is it open?"), ("assistant", "Yes.")),
            group="Is it open?",
        ),
    ),
    "conversations.json": ("chats", OPEN),
    "pairs.jsonl": ("chats in two parts", OPEN),
    "instructions.json": (
        "instructions",
        Example("Name the colour.\n\nA ripe tomato.", "Red.", history=(("system", "Be brief."),)),
    ),
    "pairs.csv": ("prompt and completion", Example("Is it open, and until when?", "Yes, until six.")),
    "classes.tsv": ("classification", Example("are you open on sunday", "opening hours", "opening hours")),
}


@pytest.mark.parametrize("name", READ)
def test_the_files_of_the_page(name: str, tmp_path: Path) -> None:
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```jsonl\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / name).write_text(found[1])
    title, *examples = READ[name]
    assert examples_of(tmp_path / name) == (title, tuple(examples))


def test_every_file_of_the_page_is_read() -> None:
    assert re.findall(r"<!-- file: (\S+) -->", PAGE) == list(READ)
