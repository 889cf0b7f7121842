"""The code data set: answers that work, checks that no other answer passes, and a framework that does what its page says."""

from __future__ import annotations

import ast
import re
import sys
from itertools import combinations
from pathlib import Path

import pytest

from tasks import DataProblems, Example, code, registry
from tasks.code import words
from tasks.code.framework import postern
from tasks.code.framework.postern.client import Client, outline
from tasks.code.generate import checks, rows
from tasks.execution import outcomes, read_checks, score, write_checks
from tasks.generation import SPLITS

FOLDER = Path(code.__file__).parent


@pytest.fixture(scope="module")
def examples() -> dict[str, tuple[Example, ...]]:
    raw = registry.load("code")
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def test_the_file_of_checks_is_the_generated_one(tmp_path: Path) -> None:
    write_checks(tmp_path / "checks.jsonl", checks(rows()))
    assert (tmp_path / "checks.jsonl").read_bytes() == code.CHECKS.read_bytes(), "run python -m tasks.code.generate"


def test_each_held_out_example_has_two_checks_or_more(examples: dict[str, tuple[Example, ...]]) -> None:
    known = read_checks(code.CHECKS)
    asked = [*examples["validation"], *examples["test"]]
    assert {row.key[:16] for row in asked} == set(known)
    assert all(2 <= len(each) <= 3 for each in known.values())


def test_no_noun_is_in_two_splits(examples: dict[str, tuple[Example, ...]]) -> None:
    used = {
        split: {
            word
            for row in examples[split]
            for word in re.findall(r"\w+", f"{row.prompt} {row.completion}")
            if word in words.NOUNS
        }
        for split in SPLITS
    }
    for one, other in combinations(SPLITS, 2):
        assert used[one].isdisjoint(used[other])
    assert len(used["train"]) > 100


def test_answers_are_python_whose_paths_names_and_texts_stand_in_the_prompt(
    examples: dict[str, tuple[Example, ...]],
) -> None:
    """What an answer needs is asked for: its strings are those of the prompt, but for the converters of parameters."""
    for row in (*examples["train"], *examples["test"]):
        tree = ast.parse(row.completion)
        literals = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for text in literals:
            if text != "/":
                assert re.sub(r":(int|float)\}", "}", text) in row.prompt, row
        for number in (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)):
            if type(number) is int and number != 301:
                assert str(number) in row.prompt, row


def test_a_parameter_has_a_converter_exactly_where_the_prompt_says_so(examples: dict[str, tuple[Example, ...]]) -> None:
    typed = r"\b(int|ints|integers?|whole numbers?|floats?|decimals?)\b|\bdecimal numbers?\b"
    for row in examples["test"]:
        bare = re.sub(r"/\S*|\".*?\"", "", row.prompt)
        for name, kind in re.findall(r"\{(\w+)(?::(\w+))?\}", row.completion.splitlines()[0]):
            clauses = [clause for clause in re.split(r"[.;()\n]", bare) if re.search(rf"\b{name}\b", clause)]
            assert any(re.search(typed, clause, re.IGNORECASE) for clause in clauses) == bool(kind), row


def test_for_good_is_301_and_for_now_is_not(examples: dict[str, tuple[Example, ...]]) -> None:
    for row in examples["test"]:
        if row.kind == "redirect":
            is_good = bool(re.search(r"good|permanently|forever|once and for all", row.prompt, re.IGNORECASE))
            assert is_good == row.completion.endswith(", 301)"), row


@pytest.mark.slow
def test_every_answer_passes_its_checks_and_other_answers_do_not() -> None:
    made = rows()
    for split in SPLITS:
        for number, row in enumerate(made[split]):
            assert all(outcomes(row.example.completion, row.checks, code.PROGRAM)), row
            if split == "test":
                assert not any(outcomes("pass", row.checks, code.PROGRAM)), row
                other = next(
                    each for each in made[split][number + 1 :] + made[split] if each.example.kind != row.example.kind
                )
                assert not any(outcomes(other.example.completion, row.checks, code.PROGRAM)), row


WRONG = {
    "body": [(r"body\.pick\(", "dict("), (r"\)$", ", 299)")],
    "error": [(r"@app\.error\(", "@app.error(4"), (r"return \w+\(", "return empty(")],
    "hook": [(r"@app\.(after|before)\('", r"@app.\1('/x"), (r"'\)$|\d+\)$", "x')")],
    "query": [(r"query\.read\(", "dict("), (r"@app", "@other")],
    "redirect": [(r"redirect\(f?'/", "redirect('/x"), (r"@app\.get\('", "@app.get('/x")],
    "route": [(r"@app\.(\w+)\('", r"@app.\1('/x"), (r"return text\(", "return json(")],
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_answers_are_noticed(kind: str, examples: dict[str, tuple[Example, ...]]) -> None:
    some = [row for row in examples["test"] if row.kind == kind][:3]
    for row in some:
        for pattern, other in WRONG[kind]:
            wrong = re.sub(pattern, other, row.completion, count=1)
            if wrong != row.completion:
                assert code.execution(wrong, row) < 1, wrong


def test_part_of_a_right_answer_scores_in_part(examples: dict[str, tuple[Example, ...]]) -> None:
    row = next(row for row in examples["test"] if re.search(r"\w:int\}.*\n.*\n.*, 20\d\)", row.completion))
    assert 0 < code.execution(re.sub(r", 20\d\)", ")", row.completion), row) < 1
    assert 0 < code.execution(row.completion.replace(":int", ""), row) < 1
    assert code.execution(row.completion + "\n)", row) == 0


def test_an_example_without_checks_is_reported(examples: dict[str, tuple[Example, ...]]) -> None:
    with pytest.raises(DataProblems, match="no checks for the example"):
        code.execution("x = 1", examples["train"][0])


def test_the_page_of_the_framework_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FOLDER / "framework" / "postern.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.setitem(sys.modules, "postern", postern)
    monkeypatch.setitem(sys.modules, "postern.client", sys.modules[Client.__module__])
    exec("\n".join(blocks), {"__name__": "page"})  # noqa: S102 our own page


class TestPostern:
    def test_methods_and_misses(self) -> None:
        app = postern.App()
        app.post("/a/{rest:path}")(lambda rest: postern.text(rest))
        assert outline(app, "POST /a/b/c") == [200, "text", "b/c"]
        assert outline(app, "GET /a/b") == [405, "text", "allowed: POST"]
        assert outline(app, "POST /a") == [404, "text", "not found"]

    @pytest.mark.parametrize("path", ["a", "/{1}", "/{a}/{a}", "/{a:uuid}"])
    def test_malformed_paths(self, path: str) -> None:
        with pytest.raises(postern.SetupError):
            postern.App().get(path)

    def test_a_handler_takes_what_there_is(self) -> None:
        with pytest.raises(postern.SetupError, match="nothing is called c"):
            postern.App().get("/{a}")(lambda a, c: postern.text(a))

    def test_mounted_and_grouped(self) -> None:
        inner, app = postern.App(), postern.App()
        inner.get("/y/{a}")(lambda a: postern.text(a))
        inner.after("/y")(lambda response: response.header("x-in", "1"))
        app.mount("/sub", inner)
        app.group("/v1").group("/deep").delete("/z")(lambda: postern.empty())
        assert outline(app, "GET /sub/y/q", show=["X-In"]) == [200, "text", "q", "1"]
        assert outline(app, "DELETE /v1/deep/z") == [204, "", ""]

    def test_what_is_read_has_its_type(self) -> None:
        app = postern.App()
        app.get("/")(lambda query: postern.json(query.read(n=1, x=0.5, on=False, s="a", must=int)))
        assert outline(app, "GET /?must=3&n=2&x=1.5&on=yes&s=b")[2] == {
            "n": 2,
            "x": 1.5,
            "on": True,
            "s": "b",
            "must": 3,
        }
        assert [outline(app, f"GET /{query}")[0] for query in ("", "?must=x", "?must=1&on=maybe", "?must=1")] == [
            400,
            400,
            400,
            200,
        ]

    def test_bodies(self) -> None:
        app = postern.App()
        app.post("/")(lambda body: postern.json(body.pick("a")))
        assert [outline(app, "POST /", body)[0] for body in ({"a": 1}, {}, [1], None)] == [200, 400, 400, 400]

    def test_errors_and_hooks(self) -> None:
        app = postern.App()
        app.get("/boom")(lambda: 1 / 0)
        app.get("/none")(lambda: None)
        app.before("/in")(lambda cookies: cookies.need("k", 403) and None)
        app.error(ArithmeticError)(lambda problem: postern.text(type(problem).__name__, 422))
        app.error(403)(lambda problem: postern.text(problem.message))
        assert outline(app, "GET /boom") == [422, "text", "ZeroDivisionError"]
        assert outline(app, "GET /none") == [500, "text", "internal server error"]
        assert outline(app, "GET /in") == [403, "text", "k is missing"]
        assert outline(app, "GET /inside")[0] == 404
        assert outline(app, "GET /in", cookies={"k": "1"})[0] == 404

    def test_a_client_keeps_cookies(self) -> None:
        app = postern.App()
        app.get("/set")(lambda: postern.empty().cookie("k", "v"))
        app.get("/get")(lambda cookies: postern.text(cookies.need("k")))
        client = Client(app)
        assert (client.get("/get").status, client.get("/set").status, client.get("/get").content) == (400, 204, "v")


def test_answers_cannot_read_the_checks() -> None:
    attempt = f"seen = open({str(code.CHECKS)!r}).read()"
    known = next(iter(read_checks(code.CHECKS).values()))
    assert score(attempt, known, code.PROGRAM) == 0
