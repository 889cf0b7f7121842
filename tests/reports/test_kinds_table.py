"""The task metric by kind, as it is printed."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import RenderableType

from sweep.reports.kinds_table import MOST, kinds_of, kinds_table
from sweep.verdict.conclude import conclude
from tests.conftest import certified_record
from tests.verdict.studies import with_kinds, with_nearest
from tests.verdict.test_kinds import COUNTS, SCORES


def test_each_kind_has_its_counts_on_certify_and_test(
    printed: Callable[[RenderableType], list[str]],
) -> None:
    record = with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS)
    kinds = kinds_of(record, conclude(record))
    assert kinds is not None
    lines = printed(kinds_table(record, kinds))
    assert lines[0].strip() == "accuracy by kind of example"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] and line.split()[0] in COUNTS}
    assert rows["brand"] == ["!", *["12", "0.00", "0.00", "0.00"] * 2]
    assert rows["normalise"] == ["40", "0.00", "0.90", "0.90"] * 2


def test_the_nearest_training_example_has_a_column(printed: Callable[[RenderableType], list[str]]) -> None:
    record = with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS)
    nearest = with_nearest(record, {"accuracy": 0.25, "accuracy/brand": 0.5})
    kinds = kinds_of(nearest, conclude(nearest))
    assert kinds is not None
    lines = printed(kinds_table(nearest, kinds))
    assert next(line.split()[-1] for line in lines if line.startswith(" brand") or line.startswith("brand")) == "0.50"
    assert next(line.split()[-1] for line in lines if "dosage" in line) == "-"
    assert max(len(line.rstrip()) for line in lines) <= 100


def test_before_test_is_scored_there_is_certify_alone(printed: Callable[[RenderableType], list[str]]) -> None:
    record = with_kinds(certified_record(), SCORES, {})
    kinds = kinds_of(record, conclude(record))
    assert kinds is not None
    assert not kinds.on_test
    text = "\n".join(printed(kinds_table(record, kinds)))
    assert "test" not in text
    assert "brand !" in text


def test_of_many_kinds_the_lowest_are_shown(printed: Callable[[RenderableType], list[str]]) -> None:
    names = [f"k{number:02}" for number in range(30)]
    scores = {rank: {name: number / 40 for number, name in enumerate(names)} for rank in SCORES}
    record = with_kinds(certified_record(), scores, dict.fromkeys(names, 9))
    kinds = kinds_of(record, conclude(record))
    assert kinds is not None
    assert [row.kind for row in kinds.rows] == names[:MOST]
    assert kinds.left_out == 30 - MOST
    assert "the 12 lowest of 30" in " ".join(" ".join(printed(kinds_table(record, kinds))).split())


def test_examples_of_one_kind_or_none_have_no_table() -> None:
    record = certified_record()
    assert kinds_of(record, conclude(record)) is None
    one = with_kinds(record, {rank: {"only": 0.5} for rank in SCORES}, {"only": 80})
    assert kinds_of(one, conclude(one)) is None
