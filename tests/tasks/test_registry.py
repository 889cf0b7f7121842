"""Tasks as Python objects: found in three places, checked like any other data, mistakes explained by file and line."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import DataProblems, Example, RawSplits, registry, scoring
from tasks.splits import divide

HEAD = "from tasks import Example, Task\n\n"
LOAD = """\
def load():
    def rows(split, count):
        for number in range(count):
            yield Example(f"{split} {number}: rain?", ("no", "yes")[number % 2], kind="rain")
    return rows("train", 40), rows("validation", 30), rows("test", 20)


"""
METRIC = """\
def first_letter(answer, example):
    return float(answer[:1] == example.completion[:1])


"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files of one's own, and works in their folder."""
    monkeypatch.chdir(tmp_path)

    def written(text: str, name: str = "weather.py") -> Path:
        file = tmp_path / "tasks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return written


def problem(name: str) -> str:
    with pytest.raises(DataProblems) as caught:
        registry.load(name)
    (text,) = caught.value.problems
    return text


class TestFinding:
    def test_a_file_of_ones_own(self, write: Write) -> None:
        write(f"{HEAD}{LOAD}TASK = Task(load=load, metric='accuracy', max_length=99)")
        assert "weather" in registry.names()
        found = registry.find("weather")
        assert (found.metric, found.task.max_length) == ("accuracy", 99)
        raw = registry.load("weather")
        assert raw.train[1] == Example("train 1: rain?", "yes", kind="rain")
        assert (len(raw.train), len(raw.validation), len(raw.test)) == (40, 30, 20)
        assert divide(raw).data_hash == divide(registry.load("weather")).data_hash

    def test_earlier_turns_and_groups_are_kept(self, write: Write) -> None:
        turns = '(("user", f"{number}?"), ("assistant", "Of what?"))'
        chats = LOAD.replace('kind="rain"', f'history={turns}, group=f"{{split}} {{number // 4}}"')
        write(f"{HEAD}{chats}TASK = Task(load=load)")
        row = registry.load("weather").train[5]
        assert row.history == (("user", "5?"), ("assistant", "Of what?"))
        assert row.group == "train 1"

    def test_earlier_turns_of_another_form_are_reported(self, write: Write) -> None:
        for turns in ('[{"role": "user", "content": "Rain?"}]', '[("customer", "Rain?")]', '[("user", "")]', '"Rain?"'):
            write(f"{HEAD}{LOAD.replace('kind=', f'history={turns}, kind=')}TASK = Task(load=load)")
            with pytest.raises(
                DataProblems, match=r"train example 1: history must be pairs .* \(system, user or assistant\)"
            ):
                registry.load("weather")

    def test_a_folder_of_ones_own_has_parts(self, write: Write) -> None:
        write("WORDS = ['no', 'yes']", "weather/words.py")
        changed = LOAD.replace('("no", "yes")', "words.WORDS")
        write(f"from . import words\n{HEAD}{changed}TASK = Task(load=load)", "weather/__init__.py")
        assert registry.load("weather").train[1].completion == "yes"

    def test_an_edited_file_is_loaded_again(self, write: Write) -> None:
        file = write(f"{HEAD}{LOAD}TASK = Task(load=load)")
        assert registry.load("weather").train[1].completion == "yes"
        write(f"{HEAD}{LOAD.replace('yes', 'aye')}TASK = Task(load=load)")
        import os

        os.utime(file, ns=(1, 1))
        assert registry.load("weather").train[1].completion == "aye"

    def test_listing_names_runs_nothing(self, write: Write) -> None:
        write("raise SystemExit(3)")
        write("raise SystemExit(3)", "_part.py")
        assert "weather" in registry.names()
        assert "_part" not in registry.names()

    def test_an_installed_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site = tmp_path / "site"
        about = site / "weather_desk-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-desk\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(
            "[goldilocks.tasks]\nweather-desk = weather_desk_made\nodd = weather_desk_made:load\n"
        )
        (site / "weather_desk_made.py").write_text(f"{HEAD}{LOAD}{METRIC}TASK = Task(load=load, metric=first_letter)")
        monkeypatch.syspath_prepend(site)
        monkeypatch.chdir(tmp_path)
        assert {"weather-desk", "pharma"} <= set(registry.names())
        assert len(registry.load("weather-desk").train) == 40
        assert registry.find("weather-desk").metric == "weather-desk:first_letter"
        assert scoring.score_answer("weather-desk:first_letter", "nope", Example("?", "no")) == 1.0
        assert (
            registry.find("odd").task is registry.find("weather-desk").task
        )  # an object of the module leads to its TASK
        sys.modules.pop("weather_desk_made")

    def test_an_unknown_name_is_compared_with_all(self, write: Write) -> None:
        write(f"{HEAD}{LOAD}TASK = Task(load=load)")
        assert 'did you mean "weather"?' in problem("wether")
        assert 'did you mean "pharma"?' in problem("farma")

    def test_a_built_in_name_cannot_be_taken(self, write: Write) -> None:
        file = write(f"{HEAD}{LOAD}TASK = Task(load=load)", "pharma.py")
        assert problem("pharma") == f"{file}: pharma is a built-in task; give the file another name"


class TestMistakes:
    """The author of a file reads where it is wrong, without the project's own frames."""

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("def load(:\n", 1, "cannot be loaded: SyntaxError"),
            (
                "import os\nimport a_module_that_is_missing\n",
                2,
                "cannot be loaded: ModuleNotFoundError: No module named",
            ),
            (
                f"{HEAD}def load():\n    return 1 / 0, [], []\n\n\nTASK = Task(load=load)",
                4,
                "load() failed: ZeroDivisionError",
            ),
            (
                f"{HEAD}def load():\n    yield 1\n    yield 2\n    exit(3)\n\n\nTASK = Task(load=load)",
                None,
                "load() failed",
            ),
            (f"{HEAD}TASK = Task(laod=3)", 3, "unexpected keyword argument 'laod'"),
        ],
    )
    def test_names_file_and_line(self, write: Write, text: str, line: int | None, words: str) -> None:
        file = write(text)
        told = problem("weather")
        assert told.startswith(f"{file}:{line}: " if line else str(file))
        assert words in told

    def test_a_file_without_a_task(self, write: Write) -> None:
        write("a = 1")
        assert "defines no TASK; write TASK = Task(" in problem("weather")
        write("TASK = 3", "other.py")
        assert "TASK is not a Task" in problem("other")

    def test_other_than_three_splits(self, write: Write) -> None:
        write(f"{HEAD}TASK = Task(load=lambda: ([], []))")
        assert "must return train, validation and test, not 2 collections" in problem("weather")

    def test_bad_examples_are_all_reported(self, write: Write) -> None:
        bad = LOAD.replace("for number", "yield Example('', 'x')\n        yield Example('y', 3)\n        for number")
        file = write(f"{HEAD}{bad}TASK = Task(load=load)")
        with pytest.raises(DataProblems) as caught:
            registry.load("weather")
        assert len(caught.value.problems) == 6
        assert (
            caught.value.problems[0] == f'{file}: train example 1: "prompt" is empty; give it text or leave the row out'
        )

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("load=load()", "load must be a function that returns the examples"),
            ("load=load, metric=3", "metric must be a name or a function, not 3"),
            ("load=load, max_length='128'", "max_length must be a whole number of tokens, not '128'"),
            ("load=load, system_prompt=3", "system_prompt must be text, not 3"),
            ("load=load, kinds='rain'", "kinds must be a tuple of texts, not 'rain'"),
            (
                "load=load, metric=lambda answer, example: 1.0",
                "metric must be a function that the file defines with def",
            ),
        ],
    )
    def test_values_of_other_types(self, write: Write, given: str, words: str) -> None:
        file = write(f"{HEAD}{LOAD}TASK = Task({given})")
        told = problem("weather")
        assert told.startswith(f"{file}: ")
        assert words in told

    @pytest.mark.parametrize(
        ("returned", "kind"), [("None", "nothing"), ("{'train': []}", "a dict"), ("'abc'", "a str")]
    )
    def test_what_is_no_three_collections(self, write: Write, returned: str, kind: str) -> None:
        write(f"{HEAD}TASK = Task(load=lambda: {returned})")
        assert problem("weather").endswith(
            f"load() must return three collections of examples (train, validation and test), not {kind}"
        )

    def test_groups_and_system_messages(self, write: Write) -> None:
        bad = "yield Example('a', 'x', group=3)\n        yield Example('b', 'x', history=(('user', 'a'), ('system', 'b')))"
        write(f"{HEAD}{LOAD.replace('for number', f'{bad}{chr(10)}        for number')}TASK = Task(load=load)")
        with pytest.raises(DataProblems) as caught:
            registry.load("weather")
        assert caught.value.problems[0].endswith("group must be text or None, not a number (3)")
        assert caught.value.problems[1].endswith("history may have one system message, at its beginning")

    def test_a_kind_that_was_not_declared(self, write: Write) -> None:
        file = write(f"{HEAD}{LOAD}TASK = Task(load=load, kinds=('rian', 'snow'))")
        assert problem("weather") == f'{file}: kind "rain" is not one of kinds (did you mean "rian"?)'


class TestOwnMetric:
    def test_is_named_by_task_and_function(self, write: Write) -> None:
        write(f"{HEAD}{LOAD}{METRIC}TASK = Task(load=load, metric=first_letter)")
        metric = registry.find("weather").metric
        assert metric == "weather:first_letter"
        rows = [Example("a", "yes"), Example("b", "no")]
        assert scoring.score_answers(metric, ["yea", "yes"], rows) == 0.5
        scoring.try_on(metric, divide(registry.load("weather")))

    def test_is_found_in_a_file_beside_the_data(self, write: Write) -> None:
        write(METRIC, "../my_scores.py")
        assert scoring.score_answer("my_scores:first_letter", "yea", Example("a", "yes")) == 1.0
        assert scoring.score_answer("operator:eq", "a", Example("a", "yes")) == 0.0  # an installed module

    def test_must_have_a_name(self, write: Write) -> None:
        file = write(f"{HEAD}{LOAD}TASK = Task(load=load, metric=lambda answer, example: 1.0)")
        with pytest.raises(DataProblems, match="must be a function that the file defines with def") as caught:
            _ = registry.find("weather").metric
        assert str(file) in str(caught.value)

    def test_misspelled_function(self, write: Write) -> None:
        write(f"{HEAD}{LOAD}{METRIC}TASK = Task(load=load)")
        with pytest.raises(DataProblems, match="has no function 'first_leter'"):
            scoring.function_of("weather:first_leter")
        with pytest.raises(DataProblems) as caught:
            scoring.try_on("weather:first_leter", divide(registry.load("weather")))
        assert len(caught.value.problems) == 1

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("return 3", "returned 3 for the answer"),
            ("return None", "TypeError"),
            ("return 1 / 0", "ZeroDivisionError"),
        ],
    )
    def test_mistakes_come_before_training(self, write: Write, body: str, words: str) -> None:
        write(f"{HEAD}{LOAD}def wrong(answer, example):\n    {body}\n\n\nTASK = Task(load=load, metric=wrong)")
        with pytest.raises(DataProblems, match=words) as caught:
            scoring.try_on("weather:wrong", divide(registry.load("weather")))
        # the same failure on other answers is one problem
        assert len(caught.value.problems) == 2
        assert "answers that were tried" in caught.value.problems[1]

    def test_an_edit_changes_the_hash_of_its_code(self, write: Write) -> None:
        file = write(METRIC, "../my_scores.py")
        before = scoring.code_hash("my_scores:first_letter")
        file.write_text(METRIC.replace("[:1]", "[:2]"))
        assert scoring.code_hash("my_scores:first_letter") != before
        assert scoring.code_hash("my_scores:gone") == scoring.MISSING_CODE

    def test_an_edit_of_what_a_metric_imports_is_noticed(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        write("import helper_of_scores\nimport json\n" + METRIC, "../my_scores.py")
        write("def f():\n    from deeper.words import WET\n    from deeper import rain\n", "../helper_of_scores.py")
        write("", "../deeper/__init__.py")
        write("WET = 1\n", "../deeper/words.py")
        write("DRY = 1\n", "../beside.py")
        write("home = /usr\n", "../deeper/venv/pyvenv.cfg")
        seen = [scoring.code_hash("my_scores:first_letter")]
        for name in ("helper_of_scores.py", "deeper/words.py", "beside.py", "deeper/venv/lib.py"):
            write("WET = 2  # edited\n", f"../{name}")
            seen.append(scoring.code_hash("my_scores:first_letter"))
            if name == "helper_of_scores.py":
                write("from deeper import words\n", f"../{name}")
                seen.append(scoring.code_hash("my_scores:first_letter"))
        assert scoring.MISSING_CODE not in seen
        assert [a != b for a, b in itertools.pairwise(seen)] == [True, True, True, False, False]

    def test_an_edit_in_the_package_of_a_metric_is_noticed(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        write("", "../mine/__init__.py")
        write("from mine.words import WET\n" + METRIC, "../mine/scores.py")
        write("WET = 1\n", "../mine/words.py")
        before = scoring.code_hash("mine.scores:first_letter")
        write("WET = 2\n", "../mine/words.py")
        assert before != scoring.code_hash("mine.scores:first_letter") != scoring.MISSING_CODE

    def test_an_edit_in_the_folders_of_a_program_is_noticed(self, write: Write) -> None:
        program = "from pathlib import Path\nfrom tasks.execution import Program\nPROGRAM = Program(folders=(Path('framework'),))\n"
        write(program + METRIC, "../my_scores.py")
        write("A = 1\n", "../framework/app.py")
        before = scoring.code_hash("my_scores:first_letter")
        write("A = 2\n", "../framework/app.py")
        assert before != scoring.code_hash("my_scores:first_letter") != scoring.MISSING_CODE

    def test_an_edit_beside_the_file_of_a_folder_is_noticed(self, write: Write) -> None:
        write(
            f"{HEAD}from . import words\n{LOAD}{METRIC}TASK = Task(load=load, metric=first_letter)", "rain/__init__.py"
        )
        write("WET = 1\n", "rain/words.py")
        write("{}", "rain/data/checks.jsonl")
        seen = [scoring.code_hash("rain:first_letter")]
        for name in ("words.py", "data/checks.jsonl", "notes.txt"):
            write("# edited", f"rain/{name}")
            seen.append(scoring.code_hash("rain:first_letter"))
        assert len(set(seen)) == 3
        assert seen[2] == seen[3]


def test_pharma_is_written_that_way() -> None:
    found = registry.find("pharma")
    assert (found.metric, found.task.max_length) == ("set_f1", 512)
    assert isinstance(registry.load("pharma"), RawSplits)
