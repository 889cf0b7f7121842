"""Checks, their files, and the share of them that holds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tasks import DataProblems
from tasks.execution import Check, Program, outcomes, read_checks, score, write_checks
from tasks.execution.scoring import code_of

PROGRAM = Program(setup="def double(x): return 2 * x")


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("x = double(4)", Check.gives("x", 8)),
        ("def add(a, b):\n    return a + b", Check.gives("add(1, 2)", 3)),
        ("def add(a, b):\n    return a + b", Check.raises("add(1, None)", "TypeError")),
        ("x = (1, [2.5, None])", Check.gives("x", [1, [2.5, None]])),
        ("x = {'b': 1, 'a': 'é'}", Check.gives("x", {"a": "é", "b": 1})),
        ("import datetime", Check.gives("datetime.date(2024, 2, 29).isoformat()", "2024-02-29")),
        ("import random\nrandom.seed(1)", Check.gives("random.random() < 1", True)),
        ("n = 0\ndef count():\n    global n\n    n += 1\n    return n", Check.gives("[count(), count()]", [1, 2])),
    ],
)
def test_checks_that_hold(code: str, check: Check) -> None:
    assert outcomes(code, (check,), PROGRAM) == (True,)


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("x = True", Check.gives("x", 1)),
        ("x = 1", Check.gives("x", 1.0)),
        ("x = 1", Check.gives("x", "1")),
        ("x = 1", Check.gives("y", 1)),
        ("x = {1, 2}", Check.gives("x", [1, 2])),
        ("x = float('nan')", Check.gives("x", None)),
        ("x = 1", Check.raises("x", "ValueError")),
        ("x = 1", Check.gives("(", 1)),
        ("def x(:", Check.gives("1", 1)),
        ("x = 1 / 0", Check.gives("1", 1)),
        ("", Check.gives("1", 1)),
        ("   \n", Check.gives("1", 1)),
        ("\ud800", Check.gives("1", 1)),
        ("x = '\0'", Check.gives("1", 1)),
    ],
)
def test_checks_that_do_not_hold(code: str, check: Check) -> None:
    assert outcomes(code, (check,), PROGRAM) == (False,)


def test_the_score_is_the_share_of_checks_that_hold() -> None:
    checks = [Check.gives("x", 1), Check.gives("x + 1", 2), Check.gives("y", 1)]
    assert score("x = 1", checks, PROGRAM) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="without checks"):
        score("x = 1", [], PROGRAM)


def test_an_expression_that_ends_the_process_ends_the_checks_after_it() -> None:
    checks = (Check.gives("x", 1), Check.gives("__import__('os')._exit(0)", None), Check.gives("x", 1))
    assert outcomes("x = 1", checks, PROGRAM) == (True, False, False)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("Here it is:\n```\nx = 1\ny = 2\n```\nand ```more\n```", "x = 1\ny = 2\n"),
        ("```py\nx = 1", "x = 1"),
    ],
)
def test_the_code_of_an_answer(answer: str, code: str) -> None:
    assert code_of(answer) == code


def test_checks_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    checks = {"a" * 64: (Check.gives("f(1)", {"z": [1, None]}), Check.raises("f('\\n')", "KeyError")), "b" * 64: ()}
    write_checks(tmp_path / "checks.jsonl", checks)
    assert read_checks(tmp_path / "checks.jsonl") == {"a" * 16: checks["a" * 64], "b" * 16: ()}


def test_bad_lines_are_all_reported(tmp_path: Path) -> None:
    file = tmp_path / "checks.jsonl"
    lines = [
        '{"key": "a", "checks": [{"run": "f(1)", "gives": 3}]}',
        "{",
        '{"key": "b"}',
        '{"key": "c", "checks": [{"run": "f("}]}',
        "[]",
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(DataProblems) as caught:
        read_checks(file)
    assert [problem.split(": not ")[0] for problem in caught.value.problems] == [
        f"{file}:{line}" for line in (2, 3, 4, 5)
    ]


def test_what_has_no_json_cannot_be_expected() -> None:
    for value in (math.inf, {1, 2}, object()):
        with pytest.raises((ValueError, TypeError)):
            Check.gives("x", value)


def test_checks_that_are_too_long_are_reported() -> None:
    with pytest.raises(DataProblems, match="at most"):
        outcomes("x = 1", (Check.gives(f"'{'x' * 40000}'", 1),), PROGRAM)


def test_modules_of_a_folder_can_be_imported_by_answers(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text("SIDES = {'square': 4}\n")
    program = Program(folders=(tmp_path,), modules=("shapes",))
    assert score("import shapes", [Check.gives("shapes.SIDES['square']", 4)], program) == 1
