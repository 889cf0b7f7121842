"""`python -m sweep.data`: what is printed of data, good and bad, without a model and with one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.app import composed_plan
from sweep.commands.data_report import command
from sweep.commands.data_report.command import data, profile_of
from sweep.errors import ConfigurationError, DataError
from sweep.reports.data_report.profile import PARTS, DataProfile
from sweep.store.paths import Paths
from sweep.training.splits import load_splits
from tasks import registry

LABELS = ("delivery", "refund", "hours")


def rows(count: int = 120) -> list[dict[str, str]]:
    return [
        {
            "text": " ".join(f"w{(7 * number + 11 * place * place) % 997}" for place in range(6 + number % 9))
            + f" n{number}",
            "label": LABELS[number % 3 if number % 4 else 0],
        }
        for number in range(count)
    ]


def table(path: Path, every: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(every)
    return path


def lines(path: Path, every: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in every))
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweep.training.sources.hub_answers", lambda seconds=0.0: False)
    return tmp_path


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is on this machine."""
    monkeypatch.setattr("sweep.commands.doctor.sources.folder_of", lambda model, paths: None)


@pytest.fixture
def report(no_model: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit code, and what was printed, with spaces as one."""

    def run(*words: str) -> tuple[int, str]:
        code = data(words)
        return code, " ".join(capsys.readouterr().out.split())

    return run


def profile(*words: str) -> DataProfile:
    return profile_of(composed_plan(words), Paths.here())


class TestReport:
    def test_good_data(self, report: Callable[..., tuple[int, str]], folder: Path) -> None:
        table(folder / "reviews.csv", rows())
        code, text = report("task=data", "task.path=reviews.csv")
        assert code == 0
        assert text.startswith(
            "Data of reviews: 120 examples reviews.csv: delimited text, read as classification (text"
        )
        for words in (
            "lengths are in words: smollm2-135m, with its tokenizer, is not on this machine",
            "Length in words, prompt and answer together, of all examples",
            "Balance of labels: 3 different",
            "always answering 'delivery' is right in",
            "Sensitive text (counts only, by form) none found",
            "Examples, without a chat template: | is given, > is trained",
            "task.max_length: unknown without the model's tokenizer",
            "python -m sweep.data task=data task.path=reviews.csv --fetch with lengths in tokens",
            "python -m sweep task=data task.path=reviews.csv train.epochs=3 dry_run=true",
            "docs/calibration.md",
        ):
            assert words in text, words
        assert list(folder.iterdir()) == [folder / "reviews.csv"]

    def test_what_is_recommended_replaces_what_was_given(self, folder: Path) -> None:
        from sweep.reports.data_report.advice import Advice

        recommended = [Advice("a", "", "task.max_length=64"), Advice("b", "", "train.epochs=1"), Advice("c", "", "")]
        found = command._next_steps(
            replace(profile("task=data", f"task.path={table(folder / 'a.csv', rows())}"), has_tokenizer=True),
            recommended,
            ["task=data", "task.path=a b.csv", "task.max_length=8", "train.steps=4"],
            html=True,
        )
        commands = [step.command.partition(" -m ")[2] for step in found]
        assert commands[0] == "sweep.train task=data 'task.path=a b.csv' train.steps=4 task.max_length=64"
        assert commands[-1] == "sweep task=data 'task.path=a b.csv' train.steps=4 task.max_length=64"

    def test_bad_rows_are_named_by_file_and_line(self, report: Callable[..., tuple[int, str]], folder: Path) -> None:
        good = [{"prompt": f"question {number}", "completion": "yes"} for number in range(60)]
        for split, some in (("train", good[:40]), ("validation", good[40:50]), ("test", good[50:])):
            lines(folder / f"{split}.jsonl", some)
        with (folder / "train.jsonl").open("a") as file:
            file.write('{"prompt": "", "completion": "x"}\n{"prompt": 1, "completion": "x"}\n' + "{\n" * 30)
        code, text = report("task=jsonl", f"task.path={folder}")
        assert code == 2
        assert "32 rows cannot be used, of which 1 are empty or lack a value:" in text
        assert f'{folder}/train.jsonl:41: "prompt" is empty' in text
        assert f"{folder}/train.jsonl:43: invalid JSON" in text
        assert "... and 12 more" in text
        assert "examples 40 " in text
        assert "once the data is fixed" in text

    def test_secrets_are_counted_and_never_shown(self, report: Callable[..., tuple[int, str]], folder: Path) -> None:
        every = [{**row, "text": f"{row['text']} ann{number}@example.org"} for number, row in enumerate(rows())]
        every[30]["text"] += " ghp_" + "a1B2" * 9
        every[7]["label"] = "bob@example.org"
        code, text = report("task=data", f"task.path={table(folder / 'mails.csv', every)}", "--html")
        page = (folder / "mlruns/reports/mails-smollm2-135m/data.html").read_text()
        assert code == 0
        for shown in (text, page):
            assert "e-mail addresses: 120 rows, first mails.csv:2" in shown
            assert "GitHub tokens: 1 row" in shown
            assert "bob@example.org" in shown
            assert "a1B2a1B2" not in shown

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"PAR1 not really", "cannot be read as Parquet"),
            (b"\x1f\x8bno gzip", "cannot be read"),
            (b"one,two\n1,2\n", "are of no known format"),
            (b"", "is empty"),
            (b"text,label\na,b\n\xff\xfe,c\n", "not UTF-8"),
        ],
    )
    def test_a_file_that_cannot_be_used(
        self, content: bytes, words: str, folder: Path, no_model: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "data.bin").write_bytes(content)
        try:
            assert data(["task=data", "task.path=data.bin"]) == 2
            text = capsys.readouterr().out
        except DataError as error:
            text = str(error)
        assert words in text
        assert "data.bin" in text
        assert "Traceback" not in text

    def test_words_that_are_wrong(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            data(["--htm", "html=perhaps"])
        assert caught.value.problems == (
            "--htm: there is no such flag (known: --html, --fetch)",
            "html=perhaps: write html=true or html=false",
        )
        with pytest.raises(ConfigurationError, match=r"task\.path"):
            data(["task=data"])

    @pytest.mark.slow
    def test_too_few_rows(self, report: Callable[..., tuple[int, str]], folder: Path) -> None:
        code, text = report("task=data", f"task.path={table(folder / 'few.csv', rows(9))}")
        assert code == 2
        assert "usable rows; at least 8 needed" in text


class TestProfile:
    def test_the_parts_are_those_of_a_study(self, no_model: None, folder: Path) -> None:

        plan = composed_plan(["task=data", f"task.path={table(folder / 'a.csv', rows())}", "task.tune_fraction=0.3"])
        splits = load_splits(plan.setup.task, Paths.here())
        found = profile_of(plan, Paths.here())
        assert found.counts == {part: len(getattr(splits, part)) for part in PARTS}
        balance = found.balances[0]
        assert balance.counts["refund"] == tuple(
            sum(row.label == "refund" for row in getattr(splits, part)) for part in PARTS
        )

    @pytest.mark.slow
    def test_a_built_in_task(self, no_model: None) -> None:
        found = profile("task=pharma")
        splits = registry.load("pharma")
        assert (found.counts["train"], found.counts["test"]) == (len(splits.train), len(splits.test))
        assert not found.problems
        assert all(not each.count for each in found.near if each.other == "train")

    def test_repeats(self, no_model: None, folder: Path) -> None:
        same = [f"what is the price of item number {number} in the shop over there today" for number in range(60)]
        pairs = [{"prompt": text, "completion": "ten"} for text in same]
        lines(folder / "train.jsonl", [*pairs[:40], pairs[0], {**pairs[1], "completion": "two"}])
        again = [{**pairs[place], "prompt": pairs[place]["prompt"].upper() + "!"} for place in (3, 4)]
        lines(folder / "validation.jsonl", [*pairs[40:50], pairs[2], *again])
        lines(folder / "test.jsonl", [*pairs[50:], pairs[0]])
        found = profile("task=jsonl", f"task.path={folder}", "task.tune_fraction=0.1")
        splits = load_splits(
            composed_plan(["task=jsonl", f"task.path={folder}", "task.tune_fraction=0.1"]).setup.task, Paths.here()
        )
        assert found.total == 42 + 13 + 11
        assert (
            found.left_out
            == {split: counts.rows for split, counts in splits.left_out.items()}
            == {"certify": 1, "test": 1}
        )
        (train,) = (each for each in found.within if each.part == "train")
        assert (train.count, train.first[0].here, train.first[0].there) == (1, "train.jsonl:41", "train.jsonl:1")
        assert found.contradictory == 1
        also = {each.part: each.count for each in found.across if each.other == "train"}
        assert also["test"] == 1
        assert also["tune"] + also["certify"] == 1
        nearly = [each for each in found.near if each.other == "train" and each.count]
        assert {pair.here for each in nearly for pair in each.first} >= {"validation.jsonl:12", "validation.jsonl:13"}


def test_too_few_rows_left_to_judge_are_a_problem(no_model: None, folder: Path) -> None:
    pairs = [{"prompt": f"prompt {number}", "completion": "ten"} for number in range(30)]
    lines(folder / "train.jsonl", pairs[:18])
    lines(folder / "validation.jsonl", pairs[:20])
    lines(folder / "test.jsonl", pairs[20:])
    words = ("task=jsonl", f"task.path={folder}")
    (problem,) = profile(*words).problems
    assert "that leaves 1, and at least 5 are needed: 4 missing. Add validation rows" in problem
    with pytest.raises(DataError) as caught:
        load_splits(composed_plan(words).setup.task, Paths.here())
    assert caught.value.problems == (problem,)


@pytest.mark.slow
def test_the_real_command_with_a_model(folder: Path) -> None:
    table(folder / "reviews.csv", rows())
    for words in (["task=data", "task.path=reviews.csv", "model=tiny", "task.max_length=80", "--html"], ["--help"]):
        ended = subprocess.run(
            [sys.executable, "-m", "sweep.data", *words],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == ""
        if words != ["--help"]:
            assert "Data of reviews: 120 examples, read with the tokenizer of tiny" in ended.stdout
            assert "As tiny sees them" in ended.stdout
            assert "longer than 80 tokens" in ended.stdout
            assert "task.max_length=" in ended.stdout
            page = folder / "mlruns/reports/reviews-tiny/data.html"
            assert f"{page.relative_to(folder)}" in ended.stdout
            assert "read with the tokenizer of tiny" in page.read_text()


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.data(["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: ")
