"""The one table: every complete trial with all that was measured, the base as rank 0, front and best marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import RenderableType
from rich.table import Table

from sweep.records import Status, StudyRecord
from sweep.reports.tables import PARETO, others, trials_table
from tests.conftest import arm, result, study_record

Printed = Callable[[RenderableType], list[str]]
COLUMNS = [
    "rank",
    "alpha",
    "targets",
    "drop\nout",
    "rate",
    "loss",
    "accuracy",
    "peak\nmemory",
    "adapter",
    "time",
    PARETO,
]

RECORD = study_record(
    [
        result(arm(32), 0.30),
        result(arm(8, learning_rate=1e-3), 0.45),
        result(arm(8, dropout=0.1, targets=("k_proj", "q_proj")), 0.40),
        result(arm(16, alpha_ratio=1.0, targets=("o_proj",)), 0.42),
        result(arm(4), None, Status.PRUNED, "trailed arms of rank 4 at step 20 (loss 2.0)"),
        result(arm(64), None, Status.INFEASIBLE, "out of memory"),
        result(arm(2), None, Status.FAILED, "diverged: the loss was nan at step 12"),
    ]
)


def cells(record: StudyRecord, column: str) -> list[str]:
    table = trials_table(record)
    return [str(cell) for cell in table.columns[COLUMNS.index(column)].cells]


def styles(table: Table) -> list[str]:
    return [str(row.style or "") for row in table.rows]


def test_columns_are_what_was_set_and_what_was_measured() -> None:
    assert [column.header for column in trials_table(RECORD).columns] == COLUMNS


def test_rows_are_sorted_by_rank_and_loss_with_the_base_as_rank_0() -> None:
    assert list(zip(cells(RECORD, "rank"), cells(RECORD, "loss"), strict=True)) == [
        ("0", "4.0000"),
        ("8", "0.4000"),
        ("8", "0.4500"),
        ("16", "0.4200"),
        ("32", "0.3000"),
    ]


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ({}, "made: boxes on tiny"),
        ({"method": "rslora"}, "made: boxes on tiny, rsLoRA"),
        (
            {"method": "rslora_plus", "loraplus_lr_ratio": 16.0},
            "made: boxes on tiny, rsLoRA and LoRA+ (B 16 times as fast as A)",
        ),
    ],
)
def test_a_method_other_than_lora_is_named(method: dict[str, object], told: str) -> None:
    assert trials_table(study_record([result(replace(arm(8), **method), 0.3)])).title == told


def test_recipes_use_the_name_of_the_set_if_it_has_one() -> None:
    assert cells(RECORD, "targets") == ["base model", "k_proj,q_proj", "q_v", "output", "q_v"]
    assert cells(RECORD, "alpha") == ["-", "16", "16", "16", "64"]
    assert cells(RECORD, "drop\nout") == ["-", "0.1", "0", "0", "0"]
    assert cells(RECORD, "rate") == ["-", "2.0e-03", "1.0e-03", "2.0e-03", "2.0e-03"]


def test_measures_have_units() -> None:
    assert cells(RECORD, "accuracy") == ["0.500"] * 5
    assert cells(RECORD, "peak\nmemory") == ["900 MB"] * 5
    assert cells(RECORD, "adapter") == ["-", "800 kB", "800 kB", "1.6 MB", "3.2 MB"]
    assert cells(RECORD, "time") == ["23 s"] * 5


def test_front_of_loss_against_size_is_marked() -> None:
    assert cells(RECORD, PARETO) == ["", PARETO, "", "", PARETO]


def test_only_the_best_row_is_highlighted() -> None:
    assert styles(trials_table(RECORD)) == ["", "", "", "", "bold green"]


def test_a_tie_is_won_by_the_smaller_rank() -> None:
    assert styles(trials_table(study_record([result(arm(8), 0.3), result(arm(4), 0.3)]))) == ["", "bold green", ""]


def test_trials_without_measures_are_listed_with_their_reasons() -> None:
    assert others(RECORD) == [
        "r4-lr2e-03-s0: pruned: trailed arms of rank 4 at step 20 (loss 2.0)",
        "r64-lr2e-03-s0: infeasible: out of memory",
        "r2-lr2e-03-s0: failed: diverged: the loss was nan at step 12",
    ]


def test_study_without_a_base_or_a_complete_trial_has_a_table_too() -> None:
    assert cells(study_record([result(arm(2), None, Status.FAILED, "diverged")], base_loss=None), "rank") == []


def test_nothing_is_cut_off_at_the_width_of_a_log(printed: Printed) -> None:
    lines = printed(trials_table(RECORD))
    assert lines[0].rstrip() == "made: boxes on tiny"
    text = "\n".join(lines)
    assert "…" not in text
    for column in COLUMNS:
        assert all(word in text for word in column.split())
        for cell in cells(RECORD, column):
            assert cell in text


def test_trial_without_answers_has_no_metric() -> None:
    silent = result(arm(8), 0.3)
    assert silent.measures is not None
    silent = replace(silent, measures=replace(silent.measures, metrics={}))
    assert cells(study_record([silent], base_loss=None), "accuracy") == ["-"]


@pytest.mark.parametrize("turned", [1, 3])
def test_order_of_the_trials_does_not_change_the_rows(turned: int) -> None:
    results = [trial.result for trial in RECORD.trials]
    again = study_record([*results[turned:], *results[:turned]])
    for column in COLUMNS:
        assert cells(again, column) == cells(RECORD, column)
