"""The table of chances in the package, and how it is read."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.verdict_calibration.power import LOOKS, cut_rows, trained_rows, written
from sweep.verdict.power import FILE, Chances, between, chances, nearest


def test_the_table_has_all_looks() -> None:
    for looks, cut in itertools.product(LOOKS, (True, False)):
        known, rows = chances(looks, cut=cut)
        assert known == looks
        assert [row.at for row in rows] == sorted(row.at for row in rows)


def test_more_seeds_and_wider_margins_decide_more_often() -> None:
    (_, three), (_, five) = chances((3,), cut=False), chances((5,), cut=False)
    assert three[-1].certified > 0.9 > three[0].certified
    assert sum(row.certified for row in five) > sum(row.certified for row in three)
    _, cut = chances((3,), cut=True)
    assert (cut[0].certified, cut[-1].certified) == (1.0, 0.0)
    assert cut[-1].inferior > 0.8


def test_the_table_is_the_benchmarks_output() -> None:
    about, *_ = FILE.read_text().split('"seconds"')
    assert '"studies":2000' in about
    assert written(2000, 0.0, [], []).startswith(about)


@pytest.mark.parametrize(
    ("looks", "found"),
    [((3,), (3,)), ((6,), (5, 8)[:1]), ((3, 5, 8, 12, 18), (3, 5, 8)), ((1,), (3,))],
)
def test_looks_that_were_not_simulated(looks: tuple[int, ...], found: tuple[int, ...]) -> None:
    assert nearest({(3,), (5,), (3, 5, 8)}, looks) == found


def test_between_the_simulated_points() -> None:
    rows = [Chances(2.0, 0.2, 0.0), Chances(4.0, 0.6, 0.0)]
    assert [between(rows, at) for at in (1.0, 2.0, 3.0, 9.0)] == pytest.approx([0.1, 0.2, 0.4, 0.6])


def test_the_benchmark_counts_studies() -> None:
    (row, *_) = trained_rows(4)
    assert set(row) == {"at", "looks", "certified", "inferior"}
    assert cut_rows(4)[0]["certified"] == 1.0
