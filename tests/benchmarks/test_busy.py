"""How busy workers were: by process or as the pool gives trials, with gaps and windows that add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.busy import Gap, Span, by_worker, gaps_of, spans_of, windows_of
from tests.conftest import certified_record

STUDY = [
    Span("base", "base", 0, 1, 0.0, 10.0),
    Span("a", "explore", 1, 1, 10.0, 50.0),
    Span("b", "explore", 2, 2, 12.0, 60.0),
    Span("c", "explore", 3, 2, 13.0, 60.0),
    Span("base-certify", "base on certify", 4, 1, 51.0, 58.0),
    Span("d", "certify", 5, 1, 60.0, 90.0),
    Span("e", "certify", 6, 2, 60.5, 70.0),
]


def test_times_begin_with_the_first_trial() -> None:
    spans = spans_of(certified_record({2: 0.3, 8: 0.3}))
    assert min(span.began for span in spans) == 0
    assert {span.stage for span in spans} >= {"certify", "rates", "base on certify"}


def test_gaps_are_those_of_one_worker_with_what_the_others_had() -> None:
    assert gaps_of(by_worker(STUDY, 2)) == [
        Gap(2, 0.0, 12.0, ("base", "a")),
        Gap(1, 58.0, 60.0, ("b", "c")),
        Gap(2, 70.0, 90.0, ("d",)),
    ]


def test_windows_follow_one_another_and_a_stage_beside_another_has_none() -> None:
    *windows, whole = windows_of(by_worker(STUDY, 2))
    assert [(window.stage, window.began, window.ended) for window in windows] == [
        ("base", 0.0, 10.0),
        ("explore", 10.0, 60.0),
        ("certify", 60.0, 90.0),
    ]
    assert [window.busy for window in windows] == pytest.approx([0.5, 95 / 100, 39.5 / 60])
    assert sum(window.busy * (window.ended - window.began) for window in windows) == pytest.approx(whole.busy * 90)


def test_without_processes_trials_go_to_the_worker_with_the_fewest() -> None:
    unknown = [replace(span, worker=None) for span in STUDY]
    places = by_worker(unknown, 2)
    assert [[span.name for span in place] for place in places] == [["base", "a", "c", "base-certify", "d"], ["b", "e"]]


def test_a_process_that_replaces_another_is_the_same_worker() -> None:
    spans = [*STUDY[:4], replace(STUDY[5], worker=3), replace(STUDY[6], worker=2)]
    places = by_worker(spans, 2)
    assert [[span.name for span in place] for place in places] == [["base", "a", "d"], ["b", "c", "e"]]
