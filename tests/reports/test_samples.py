"""Samples of answers on test: the first of each kind in turn, with the answers of base and adapter beside the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.records import StudyRecord
from sweep.reports.page import Beside, Sample, answer_of, render, samples
from sweep.reports.page.samples import Answer as PageAnswer
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import on_test
from tests.conftest import certified_record
from tests.reports.made_page import page_record

LONG = "The door, which he had bolted with his own hand, now stood open upon the dark. " * 5
KINDS = ("verse", "verse", "verse", "prose", "copy", "copy")


def write(file: Path, answers: dict[str, str | None]) -> None:
    rows = [
        {
            "key": f"key-{number}",
            "kind": kind,
            "prompt": f"prompt {number}",
            "expected": f"line {number}\nnext",
            "answer": answers.get(f"key-{number}", f"answer {number}"),
            "nats": 1.0,
            "tokens": 2,
            "score": 0.25,
        }
        for number, kind in enumerate(KINDS)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


@pytest.fixture
def record() -> StudyRecord:
    return page_record(explored=2)


@pytest.fixture
def files(record: StudyRecord, tmp_path: Path) -> Path:
    tested = on_test(record, conclude(record))
    write(tmp_path / tested["goldilocks"].identity, {"key-0": LONG})
    write(tmp_path / tested["base"].identity, {"key-3": None, "key-4": ""})
    return tmp_path


def test_the_first_of_each_kind_come_in_turn(record: StudyRecord, files: Path) -> None:
    shown = samples(record, conclude(record), lambda identity: files / identity, count=4)
    # the base did not answer the only example of prose
    assert [(one.kind, one.prompt) for one in shown] == [
        ("verse", "prompt 0"),
        ("copy", "prompt 4"),
        ("verse", "prompt 1"),
        ("copy", "prompt 5"),
    ]
    assert (shown[0].adapter.text, shown[0].base) == (LONG, PageAnswer("answer 0", 0.25))


def test_without_answers_there_are_none(record: StudyRecord, tmp_path: Path) -> None:
    assert samples(record, conclude(record), lambda identity: tmp_path / identity) == ()
    assert samples(record, None, lambda identity: tmp_path / identity) == ()
    untested = certified_record()
    assert samples(untested, conclude(untested), lambda identity: tmp_path / identity) == ()


def test_the_page_shows_both_answers_beside_the_reference_and_the_perplexity(record: StudyRecord, files: Path) -> None:
    conclusion = conclude(record)
    shown = samples(record, conclusion, lambda identity: files / identity)
    text = render(record, conclusion, answer_of(record, conclusion), Beside("today", samples=shown))
    start = text.index('<section id="samples">')
    section = text[start : text.index("</section>", start)]
    assert section.count("<article>") == len(shown)
    assert '<dt>expected (verse)</dt><dd dir="auto">line 0\nnext</dd>' in section
    assert f'<dt>adapter, 0.25</dt><dd dir="auto">{LONG}</dd>' in section
    assert "an empty answer" in section
    tested = on_test(record, conclusion)["goldilocks"]
    assert f"{tested.measures.perplexity:.2f}" in text
    assert "Perplexity of a token of the expected answers (exp of the loss): base model " in text


def test_examples_without_kinds_are_shown_too(record: StudyRecord) -> None:
    conclusion = conclude(record)
    sample = Sample("asked", "wanted", None, PageAnswer("before", None), PageAnswer("after", None))
    text = render(record, conclusion, answer_of(record, conclusion), Beside("today", samples=[sample]))
    assert "<dt>expected</dt>" in text
    assert "<dt>base model</dt>" in text
