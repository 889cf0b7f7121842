"""The report on data: its figures, its recommendations, and its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sweep.commands.app import composed_plan
from sweep.records import StudyPlan
from sweep.reports.closing import console
from sweep.reports.data_report import advice as advising
from sweep.reports.data_report.advice import advice, recommended_length
from sweep.reports.data_report.page import render
from sweep.reports.data_report.profile import Balance, DataProfile, Lengths, Pair, Rendered, Repeats, Sensitive
from sweep.reports.data_report.tables import balance_notes, bins, lines, quantiles, values
from sweep.reports.data_report.words import print_profile
from sweep.reports.step import Step
from tests.reports.test_page import HOSTILE, Parsed

CALIBRATION = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text()


@cache
def plan(*words: str) -> StudyPlan:
    return composed_plan(words)


def lengths(whole: Sequence[int], *, unit: str = "tokens", sampled: bool = False) -> Lengths:
    ordered = np.sort(np.array(whole, dtype=np.int64))
    return Lengths(unit, ordered, ordered // 4, {"train": ordered}, sampled, (("a.csv:7", int(ordered[-1])),))


def profile(**changes: object) -> DataProfile:
    made = DataProfile(
        name="reviews",
        understood=("reviews.csv: delimited text",),
        counts={"train": 4000, "tune": 100, "certify": 120, "test": 200},
        unusable=0,
        empty=0,
        problems=(),
        more_problems=0,
        within=(Repeats("train", "train", 2, (Pair("a.csv:9", "a.csv:4"), Pair("a.csv:10", "a.csv:4"))),),
        contradictory=0,
        across=(Repeats("tune", "train", 0), Repeats("test", "train", 0)),
        near=(
            Repeats("test", "train", 3, (Pair("a.csv:12", "a.csv:3", 0.81),), complete=False),
            Repeats("test", "tune", 0),
        ),
        compared=4420,
        balances=(Balance("label", {"yes": (3000, 60, 70, 90), "no": (1000, 40, 40, 100), "new": (0, 0, 10, 10)}),),
        lengths=lengths([*range(10, 110)] * 40),
        sensitive=(Sensitive("e-mail addresses", 4, "a.csv:5"),),
        rendered=(Rendered("a.csv:3", "train", "<|user|>\nIs it?\n<|bot|>\n", "yes<|end|>", 9, 3),),
        model="tiny",
        has_tokenizer=True,
        context=2048,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def settings(found: DataProfile, *words: str) -> dict[str, str]:
    return {each.about: each.setting for each in advice(found, plan(*words))}


class TestTables:
    def test_the_parts(self) -> None:
        found = {line.name: line.values for line in lines(profile(), 90)}
        assert found["examples"] == ("4,000", "100", "120", "200")
        assert found["repeated: prompt and answer"] == ("2", "-", "-", "-")
        assert "left out of judging" not in found
        (some,) = (line for line in lines(profile(left_out={"certify": 70}), 90) if line.name == "left out of judging")
        assert (some.values, some.weak) == (("-", "-", "70", "0"), True)
        assert found["same prompt as in train"] == ("-", "0", "-", "0")
        assert found["near-duplicates of train"] == ("-", "-", "-", "at least 3")
        assert "near-duplicates of tune" not in found
        assert found["longer than 90 tokens"] == ("760", "-", "-", "-")
        assert {line.name: line.values for line in lines(profile(lengths=lengths([10, 100], sampled=True)), 90)}[
            "longer than 90 tokens"
        ] == ("about 2,000", "-", "-", "-")

    @pytest.mark.parametrize("whole", [[1], [3] * 50, [*range(1, 5000)], [10] * 999 + [100_000], [0, 0]])
    def test_a_histogram_has_every_example_once(self, whole: list[int]) -> None:
        found = bins(lengths(whole))
        assert sum(each.count for each in found) == len(whole)
        assert sum(each.share for each in found) == pytest.approx(1)
        assert len(found) <= 13
        assert [each.low for each in found[1:]] == [each.high for each in found[:-1]]
        for each in found:
            assert each.count == sum(each.low < value <= each.high or value == each.low == 0 for value in whole)

    def test_quantiles(self) -> None:
        found = lengths([*range(1, 1001)])
        assert [found.covering(share) for share in (0.5, 0.9, 0.995, 1.0)] == [500, 900, 995, 1000]
        assert quantiles(found) == (
            "half up to 500, 90 % up to 900, 99 % up to 990, 99.5 % up to 995, the longest 1,000 tokens (a.csv:7)"
        )

    def test_balance(self) -> None:
        (balance,) = profile().balances
        assert list(balance_notes(balance)) == ["always answering 'yes' is right in 75 % of train", "not in train: new"]
        assert list(balance_notes(Balance("label", {"a\x1b[2J": (9, 1, 1, 1)}))) == [
            r"every label is 'a\x1b[2J': there is nothing to tell apart"
        ]
        assert (
            "different labels that only differ in case, white space or a final period: 'Yes', 'yes.'"
            in balance_notes(Balance("label", {"Yes": (1, 1, 1, 1), "no": (1, 1, 1, 1), "yes.": (1, 1, 1, 1)}))
        )
        many = Balance("kind", {f"k{number}": (9, 1, 1, 1) for number in range(20)})
        *_, (others, counts) = values(many)
        assert (others, counts) == ("12 others", (108, 12, 12, 12))
        assert (
            "kinds with fewer than 5 certify examples are not judged by themselves: k0, k1, k2, k3, k4 and 15 more"
            in (balance_notes(many))
        )


class TestAdvice:
    def test_the_length_covers_nearly_all(self) -> None:
        assert recommended_length(lengths([*range(1, 101)])) == 128
        assert recommended_length(lengths([50] * 999 + [5000])) == 64
        assert recommended_length(lengths([50] * 99 + [5000])) == 5024
        assert recommended_length(lengths([3000] * 9), context=2048) == 2048

    def test_what_is_set_well_stays(self) -> None:
        assert settings(profile())["task.max_length"] == ""
        assert settings(profile(), "task.max_length=100")["task.max_length"] == "task.max_length=128"
        in_words = profile(lengths=lengths([5], unit="words"), has_tokenizer=False, context=None)
        assert settings(in_words)["task.max_length"] == ""

    @pytest.mark.parametrize(
        ("examples", "setting"),
        [(40, "train.epochs=3"), (400, "train.epochs=1"), (4000, "train.epochs=1"), (40_000, "")],
    )
    def test_steps(self, examples: int, setting: str) -> None:
        found = profile(counts={"train": examples, "tune": 100, "certify": 120, "test": 200})
        assert settings(found)["train.steps"] == setting
        assert settings(found, "train.epochs=2")["train.steps"] == ""

    def test_certify_examples(self) -> None:
        assert settings(profile())["certify examples"] == ""
        assert (
            settings(profile(), "evaluate.certify_examples=40")["certify examples"] == "evaluate.certify_examples=100"
        )
        (few,) = (
            each
            for each in advice(profile(counts={"train": 99, "tune": 25, "certify": 25, "test": 9}), plan())
            if each.about == "certify examples"
        )
        assert "expect 2 times that of a hundred" in few.text
        seen = advice(profile(left_out={"certify": 95}), plan())
        assert "expect 2 times that of a hundred" in next(
            each.text for each in seen if each.about == "certify examples"
        )
        assert "Add validation rows" in few.text

    def test_near_duplicates_of_train(self) -> None:
        assert "held-out examples" not in settings(profile())
        many = profile(near=(Repeats("test", "train", 30),))
        (found,) = (each for each in advice(many, plan()) if each.about == "held-out examples")
        assert "30 of 420" in found.text

    def test_figures_are_those_of_the_calibration(self) -> None:
        errors = [float(cell) for cell in re.findall(r"\| (0\.00\d+) \| \d\.\d \|", CALIBRATION)]
        assert (min(errors), max(errors)) == advising.EXAMPLE_ERROR
        (row,) = re.findall(r"\| lognormal 0\.25 \| 0\.4 \| (.*) \|", CALIBRATION)
        powers = [float(cell.split(" / ")[0]) for cell in row.split(" | ")]
        assert list(advising.cut_power().values()) == pytest.approx(powers[:3], abs=0.015)
        text = " ".join(CALIBRATION.split())
        assert (
            "certifying all of four equal ranks takes a margin of six standard deviations with three seeds, about four with five, and "
            "about three and a half with eight" in text
        )
        assert list(advising.MARGINS_FOR_ALL.values()) == ["six", "about four", "about three and a half"]


class TestPage:
    def test_everything_is_on_it(self) -> None:
        steps = [Step("python -m sweep", "the study")]
        parsed = Parsed(render(profile(), advice(profile(), plan()), steps, plan(), "today"))
        assert {"answer", "parts", "lengths", "balance", "examples", "next"} <= set(parsed.ids())
        assert len(parsed.ids()) == len(set(parsed.ids()))
        for words in (
            "read with the tokenizer of tiny",
            "at least 3",
            "near-duplicates, test and train: a.csv:12 = a.csv:3 (0.81)",
            "e-mail addresses: 4 rows, first a.csv:5",
            "9 tokens, 3 trained",
            "python -m sweep",
            "docs/calibration.md",
        ):
            assert words in parsed.text, words
        assert all(
            not (attributes.get("src") or attributes.get("href") or "").startswith("http")
            for _, attributes in parsed.tags
        )

    def test_text_of_the_data_cannot_act(self) -> None:
        hostile = profile(
            name=HOSTILE,
            problems=(HOSTILE,),
            understood=(HOSTILE,),
            rendered=(Rendered(HOSTILE, "train", HOSTILE, HOSTILE),),
            balances=(Balance("label", {HOSTILE: (1, 1, 1, 1)}),),
        )
        parsed = Parsed(render(hostile, [], [Step(HOSTILE)], plan(), "today"))
        assert len(parsed.scripts) == 2
        assert "img" not in {tag for tag, _ in parsed.tags}

    def test_without_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        empty = profile(
            counts=dict.fromkeys(("train", "tune", "certify", "test"), 0),
            problems=("a.csv: is empty",),
            unusable=0,
            lengths=None,
            rendered=(),
            balances=(),
            near=(),
            within=(),
            across=(),
        )
        assert "Cannot be used yet" in render(empty, [], [], plan(), "today")
        print_profile(empty, [], [], plan("task.limits=no medical advice").setup.task, console())
        text = capsys.readouterr().out
        assert "The data cannot be used as it is:\n  - a.csv: is empty" in text
        assert "\n  limits: no medical advice\n" in text


def test_what_is_printed_has_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    odd = profile(name="[bold]x[/bold]", rendered=(Rendered("a.csv:3", "train", "[red]a\nb[/red]\n", "[/x] c", 9, 3),))
    print_profile(odd, [], [Step("python -m sweep", "the study")], plan().setup.task, console())
    text = capsys.readouterr().out
    assert "Data of [bold]x[/bold]" in text
    assert "  | [red]a\n  | b[/red]\n  > [/x] c\n" in text
    assert not re.search(r" +$", text.split("Length in tokens")[1].split("Balance")[0], re.MULTILINE)
