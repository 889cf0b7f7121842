"""The table of answers that changed: every such example, in the order of the data, in MLflow's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sweep.reports.changed_answers import COLUMNS, changed_answers
from sweep.reports.page import samples
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import on_test
from tests.conftest import certified_record

RECORD = certified_record(final=(8, 32))
CONCLUSION = conclude(RECORD)


def answered(folder: Path, base: list[tuple[str, float | None]], own: list[tuple[str, float | None]]) -> Any:
    tested = on_test(RECORD, CONCLUSION)
    for name, answers in (("base", base), ("goldilocks", own)):
        rows = [
            {
                "key": str(number),
                "kind": "odd",
                "prompt": f"ask {number}",
                "expected": "yes",
                "answer": text,
                "score": score,
            }
            for number, (text, score) in enumerate(answers)
        ]
        (folder / f"{tested[name].identity}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def scores_of(identity: str) -> Path:
        return folder / f"{identity}.jsonl"

    return scores_of


def test_only_changed_answers_are_in_it(tmp_path: Path) -> None:
    base = [("no", 0.0), ("yes", 1.0), ("ja", 0.5), ("yes", 1.0), ("so", None)]
    own = [("yes", 1.0), ("yes", 1.0), ("oui", 0.5), ("non", 0.0), ("la", None)]
    text = changed_answers(RECORD, CONCLUSION, answered(tmp_path, base, own))
    assert text is not None
    table = json.loads(text)
    assert table["columns"] == list(COLUMNS)
    assert [row[0] for row in table["data"]] == ["better", "different", "worse", "different"]
    assert table["data"][0] == ["better", "odd", "ask 0", "yes", "no", "yes", 0.0, 1.0]


def test_without_a_change_or_without_answers_there_is_none(tmp_path: Path) -> None:
    same: list[tuple[str, float | None]] = [("yes", 1.0)]
    assert changed_answers(RECORD, CONCLUSION, answered(tmp_path, same, same)) is None
    assert changed_answers(RECORD, CONCLUSION, lambda identity: tmp_path / "missing") is None
    assert changed_answers(RECORD, None, lambda identity: tmp_path / "missing") is None


def test_samples_on_the_page_are_still_the_first_of_each_kind(tmp_path: Path) -> None:
    answers: list[tuple[str, float | None]] = [(f"a{number}", 0.0) for number in range(9)]
    shown = samples(RECORD, CONCLUSION, answered(tmp_path, answers, answers))
    assert [sample.prompt for sample in shown] == [f"ask {number}" for number in range(6)]
