"""The table of ranks under judgement, and that of the test scores."""

from __future__ import annotations

from dataclasses import replace

from rich.table import Table

from sweep.records import Status, StudyRecord
from sweep.reports.ladder_table import ladder_table, legend
from sweep.reports.ladder_table import test_table as table_of_test
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from tests.conftest import certified_record
from tests.verdict.studies import with_nearest

COLUMNS = [
    "rank",
    "state",
    "rate",
    "seeds",
    "loss",
    "gap to\nbest",
    "upper\nbound",
    "accuracy",
    "forgets",
    "adapter",
    "peak\nmemory",
    "train\ntime",
]
RECORD = certified_record(final=(8, 32), at_edge=(2,), failures={64: (Status.INFEASIBLE, "out of memory")})


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def table(record: StudyRecord) -> Table:
    return ladder_table(record, concluded(record))


def cells(shown: Table, column: int) -> list[str]:
    return [str(cell) for cell in shown.columns[column].cells]


def column(record: StudyRecord, name: str) -> list[str]:
    return cells(table(record), COLUMNS.index(name))


def test_columns_show_evaluation_and_costs() -> None:
    assert [column.header for column in table(RECORD).columns] == COLUMNS


def test_base_is_first_and_ranks_that_were_not_compared_are_last() -> None:
    assert column(RECORD, "rank") == ["0", "2", "4", "→ 8", "16", "32", "64"]
    assert column(RECORD, "state") == [
        "base model",
        "✗ inferior",
        "✗ inferior",
        "● certified",
        "● certified",
        "● certified",
        "infeasible",
    ]


def test_only_the_chosen_rank_is_highlighted() -> None:
    assert [str(row.style or "") for row in table(RECORD).rows] == ["", "", "", "bold green", "", "", "yellow"]
    assert "bold green" not in [str(row.style) for row in table(certified_record(seed_noise=0.02)).rows]


def test_figures_have_units() -> None:
    assert column(RECORD, "loss") == ["4.0000", "0.4500", "0.3600", "0.3000", "0.3000", "0.3000", "-"]
    assert column(RECORD, "gap to\nbest")[1:4] == ["0.1500", "0.0600", "0.0000"]
    assert column(RECORD, "accuracy") == ["0.150", "0.860", "0.878", "0.890", "0.890", "0.890", "-"]
    assert column(RECORD, "forgets") == ["-", *["+0.250"] * 5, "-"]
    assert column(RECORD, "adapter") == ["-", "200 kB", "400 kB", "800 kB", "1.6 MB", "3.2 MB", "-"]
    assert column(RECORD, "peak\nmemory")[1] == "900 MB"
    assert column(RECORD, "train\ntime")[1] == "20 s"


def test_rate_at_the_edge_is_marked_and_explained() -> None:
    assert column(RECORD, "rate") == ["-", "4.0e-03!", "2.0e-03", "2.0e-03", "2.0e-03", "2.0e-03", "-"]
    assert legend(RECORD, concluded(RECORD)).endswith("! at the edge of the learning rates allowed")
    plain = certified_record()
    assert "edge" not in legend(plain, concluded(plain))


def test_margin_has_the_unit_of_the_differences() -> None:
    assert "certified if the upper bound is below the margin of 0.0370 nats" in legend(RECORD, concluded(RECORD))
    by_metric = certified_record(margin_of="metric", margin=0.015)
    assert "difference in accuracy" in legend(by_metric, concluded(by_metric))
    assert "margin of 0.0150" in legend(by_metric, concluded(by_metric))


def test_without_statistics_there_are_means_alone() -> None:
    unjudged = certified_record(base_loss=None, answers=False)
    assert column(unjudged, "upper\nbound") == ["-"] * 5
    assert column(unjudged, "accuracy") == ["-"] * 5
    assert column(unjudged, "state") == ["? undecided"] * 5
    assert (
        legend(unjudged, concluded(unjudged))
        == "loss: nats per completion token (1 nat is 0.500 bits per byte), mean over seeds; forgets: rise of the loss on general prose"
    )


def test_test_scores_are_keyed_by_role() -> None:
    tested = table_of_test(RECORD, concluded(RECORD))
    assert tested is not None
    assert cells(tested, 0) == ["base model", "chosen: rank 8", "largest: rank 32"]
    assert cells(tested, 1) == ["4.0000", "0.3000", "0.3000"]
    assert cells(tested, 2) == ["2.0000", "0.1500", "0.1500"]
    assert cells(tested, 3) == ["0.150", "0.890", "0.890"]
    assert cells(tested, 4) == ["-", "+0.250", "+0.250"]
    assert cells(tested, 5) == ["0.750", "0.500", "0.500"]


def test_the_nearest_training_example_stands_below_the_base() -> None:
    record = with_nearest(RECORD, {"accuracy": 0.25})
    tested = table_of_test(record, concluded(record))
    assert tested is not None
    assert cells(tested, 0) == ["base model", "nearest training example", "chosen: rank 8", "largest: rank 32"]
    assert cells(tested, 1)[1] == "-"
    assert cells(tested, 3) == ["0.150", "0.250", "0.890", "0.890"]


def test_nothing_is_chosen_if_nothing_is_certified() -> None:
    record = certified_record(seed_noise=0.02, final=(8, 32))
    tested = table_of_test(record, concluded(record))
    assert tested is not None
    assert cells(tested, 0) == ["base model", "best so far: rank 8", "largest: rank 32"]


def test_before_the_final_stage_there_are_no_test_scores() -> None:
    record = replace(certified_record())
    assert table_of_test(record, concluded(record)) is None
