"""The paragraphs for measuring forgetting, and what importing `tasks` costs."""

import subprocess
import sys

from tasks import general


def test_paragraphs_are_different_and_of_the_stated_length() -> None:
    paragraphs = general.load()
    assert len(set(paragraphs)) == len(paragraphs) == 32
    for paragraph in paragraphs:
        assert 60 <= len(paragraph.split()) <= 100
        assert paragraph == " ".join(paragraph.split())
        assert paragraph.endswith(".")


def test_questions_have_answers_of_their_own() -> None:
    questions = general.questions()
    assert len({one.completion for one in questions}) == len({one.prompt for one in questions}) == len(questions) == 48
    assert all(one.prompt.endswith("? Answer with one word.") and " " not in one.completion for one in questions)
    assert [one.completion for one in questions[:3]] == ["Paris", "Green", "Dog"], "a part of them is of all kinds"
    capitals = [one.completion for one in questions[:: general.KINDS]]
    assert capitals == ["Paris", "Tokyo", "Rome", "Cairo", "Madrid", "Berlin"]


def test_importing_tasks_loads_nothing_heavy() -> None:
    modules = "tasks, tasks.jsonl, tasks.hub, tasks.metrics, tasks.splits, tasks.general"
    heavy = "{'datasets', 'torch', 'numpy', 'transformers', 'sweep'}"
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
