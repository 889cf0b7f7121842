"""General text for `train.replay`: our own, and files of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.example import DataProblems
from tasks.general import load as measuring
from tasks.general import questions
from tasks.general.replay import FEWEST, OWN, load

RUN = 5
"""Texts that share as many words in a row are near-duplicates."""


def runs(text: str) -> set[tuple[str, ...]]:
    words = "".join(sign if sign.isalnum() else " " for sign in text.casefold()).split()
    return {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


def problems_of(file: Path) -> tuple[str, ...]:
    with pytest.raises(DataProblems) as raised:
        load(file)
    return raised.value.problems


def test_our_own_passages_are_different_and_of_the_stated_length() -> None:
    passages = load()
    assert len(set(passages)) == len(passages) == 64
    for passage in passages:
        assert 60 <= len(passage.split()) <= 100
        assert passage == " ".join(passage.split())


def test_nothing_that_measures_forgetting_is_trained_on() -> None:
    passages = [runs(passage) for passage in load()]
    for paragraph in measuring():
        assert not any(runs(paragraph) & passage for passage in passages), paragraph
    for question in questions():
        asked = runs(question.prompt.removesuffix("Answer with one word."))
        assert not any(asked & passage for passage in passages), question.prompt


def test_a_file_has_a_passage_a_line_and_jsonl_its_texts(tmp_path: Path) -> None:
    lines = [f"passage number {number}" for number in range(FEWEST)]
    (tmp_path / "own.txt").write_text("\n\n".join(lines), encoding="utf-8")
    (tmp_path / "own.jsonl").write_text("".join(f'{{"text": "{line}", "source": 1}}\n' for line in lines))
    assert load(tmp_path / "own.txt") == load(tmp_path / "own.jsonl") == tuple(lines)


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    rows = ['{"text": "fine"}'] * FEWEST + ["{", '{"text": " "}', '["text"]', f'{{"text": "{measuring()[3]}"}}']
    (tmp_path / "bad.jsonl").write_text("\n".join(rows))
    named = problems_of(tmp_path / "bad.jsonl")
    assert [problem.split(": ")[0] for problem in named] == [f"{tmp_path}/bad.jsonl:{line}" for line in (9, 10, 11, 12)]
    assert "is not JSON" in named[0]
    assert all('needs a field "text"' in problem for problem in named[1:3])
    assert "measure forgetting" in named[3]


def test_a_copy_of_a_measuring_paragraph_is_refused_whatever_its_case(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("\n".join([*load()[:FEWEST], measuring()[0].upper()]))
    assert "measure forgetting" in problems_of(tmp_path / "own.txt")[0]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    assert "cannot be read" in problems_of(tmp_path / "missing.txt")[0]
    assert "cannot be read" in problems_of(tmp_path)[0]
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    assert "at least 8 are needed" in problems_of(tmp_path / "few.txt")[0]
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in problems_of(tmp_path / "bytes.txt")[0]
    assert OWN.is_file()
