"""A cut ladder in the terminal: one training, ranks cut from it, and what they are compared with."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from sweep.records import Status, StudyRecord
from sweep.reports.closing import print_outcome
from sweep.reports.ladder_kind import TRAINED, ladder_kind, share_words
from sweep.reports.ladder_table import ladder_table, legend, training_line
from sweep.reports.ladder_table import test_table as table_of_test
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from tests.conftest import arm, certified_record, cut_record, result, study_record
from tests.verdict.test_cut_conclusions import confirmed

COLUMNS = [
    "rank",
    "state",
    "energy\nkept",
    "seeds",
    "loss",
    "gap to\nuncut",
    "upper\nbound",
    "accuracy",
    "forgets",
    "adapter",
]
WIDE = 100


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def column(table: Table, name: str) -> list[str]:
    return [str(cell) for cell in table.columns[COLUMNS.index(name)].cells]


def told(record: StudyRecord) -> str:
    out = Console(file=io.StringIO(), width=WIDE, highlight=False)
    print_outcome(record, Paths(Path("/somewhere/mlruns")), None, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def test_columns_are_those_that_differ_between_cut_ranks() -> None:
    record = cut_record()
    table = ladder_table(record, concluded(record))
    assert [column.header for column in table.columns] == COLUMNS
    assert column(table, "rank") == ["0", "1", "2", "→ 4", "8", "16", "32"]
    assert column(table, "energy\nkept") == ["-", "72.0 %", "86.0 %", "93.0 %", "96.5 %", "98.2 %", "uncut"]
    assert column(table, "gap to\nuncut") == ["-", "0.1252", "0.0444", "0.0170", "0.0074", "0.0022", "-"]
    assert column(table, "adapter") == ["-", "100 kB", "200 kB", "400 kB", "800 kB", "1.6 MB", "3.2 MB"]


def test_figures_of_the_training_stand_once_below_the_table() -> None:
    record = cut_record()
    assert training_line(record, concluded(record)) == (
        "trained at rank 32, rate 2.0e-03, 4 seeds, 20 s each, peak memory 900 MB; smaller ranks are cut from these adapters"
    )
    plain = certified_record()
    assert training_line(plain, concluded(plain)) is None


def test_rate_at_the_edge_is_marked_where_the_rate_is() -> None:
    record = cut_record(at_edge=(32,))
    assert "rate 4.0e-03!, 4 seeds" in (training_line(record, concluded(record)) or "")
    assert legend(record, concluded(record)).endswith("; ! at the edge of the learning rates allowed")


def test_legend_says_what_a_gap_is_measured_from() -> None:
    record = cut_record()
    text = legend(record, concluded(record))
    assert text.startswith("energy kept: share of the trained update")
    assert "gap to uncut: estimated difference in loss to the uncut adapter of rank 32, seed by seed" in text
    assert "energy" not in legend(certified_record(), concluded(certified_record()))


def test_ranks_that_could_not_be_compared_are_last() -> None:
    record = cut_record(failures={2: (Status.FAILED, "evaluation broke")})
    table = ladder_table(record, concluded(record))
    assert column(table, "state")[-1] == "failed"
    assert column(table, "adapter")[-1] == "-"


def test_test_scores_say_which_adapter_was_cut() -> None:
    record = cut_record(final=(4, 32))
    tested = table_of_test(record, concluded(record))
    assert tested is not None
    names = [str(cell) for cell in tested.columns[0].cells]
    assert names == ["base model", "chosen: rank 4, cut from 32", "largest: rank 32"]


def test_what_the_adapter_costs_is_the_training_it_is_cut_from() -> None:
    text = told(cut_record(final=(4, 32)))
    assert "Its adapter is 400 kB against 3.2 MB at rank 32, from which it is cut; training took 20 s." in unwrapped(
        text
    )
    above, _, _ = text.partition("Next:")
    assert max(len(line) for line in above.splitlines()) <= WIDE
    assert "…" not in above


def test_a_ladder_is_cut_only_if_it_was_declared_so() -> None:
    explored = study_record([result(arm(), 1.0)])
    assert ladder_kind(explored, conclude(explored)) == TRAINED
    assert ladder_kind(certified_record(), concluded(certified_record())) == TRAINED
    record = cut_record()
    assert record.certification is not None
    only_base = replace(record, certification=replace(record.certification, trials=()))
    assert ladder_kind(only_base, conclude(only_base)) == TRAINED
    kind = ladder_kind(record, concluded(record))
    assert (kind.is_cut, kind.reference) == (True, "the uncut adapter of rank 32")


@pytest.mark.parametrize(("share", "text"), [(0.93, "93.0 %"), (0.9999, "99.9 %"), (1.0, "100.0 %"), (0.719, "71.9 %")])
def test_a_share_is_rounded_down(share: float, text: str) -> None:
    assert share_words(share) == text


def command(record: StudyRecord, key: str) -> str:
    """The line of the next step that sets the key."""
    return next(line for line in told(record).splitlines() if key in line)


def test_what_a_settling_command_buys_is_said() -> None:
    record = cut_record()
    searched = tuple(replace(trial, result=replace(trial.result, seconds=900.0)) for trial in record.trials)
    line = command(
        replace(record, trials=searched), "certify.seeds="
    )  # beside a long search, the step is in proportion
    assert "more trainings at rank 32, cut to rank" in line


def test_the_chosen_rank_can_be_confirmed() -> None:
    record = cut_record()
    line = command(record, "certify.confirm=true")
    assert line.endswith("also trains rank 4 from the start, and says whether both agree (about 80 s)")
    assert "certify.confirm" not in told(certified_record())
    assert "certify.confirm" not in told(cut_record(dict.fromkeys((2, 4), 2.9) | {8: 0.5}))


def test_confirmation_stands_below_the_costs_and_is_not_proposed_again() -> None:
    text = unwrapped(told(confirmed({4: 0.316})))
    assert "Trained at rank 4 from the start (3 seeds, learning rate 2.0e-03), adapters have a loss of 0.3160;" in text
    assert "Both agree within the margin" in text
    assert text.index("training took 20 s.") < text.index("Trained at rank 4 from the start")
    assert "Note: Trained at rank" not in text
    assert "certify.confirm" not in text


def test_a_better_cut_is_handed_out_and_named() -> None:
    better, about = {2: 0.49, 4: 0.40, 8: 0.40, 16: 0.46, 32: 0.50}, {"base_loss": 4.0, "cut_noise": 0.05}
    record = cut_record(better, **about)
    conclusion = concluded(record)
    assert (conclusion.rank, conclusion.hands_out) == (2, 4)
    text = unwrapped(told(record))
    assert "Handed out is rank 4, which is better than rank 2; its adapter is 400 kB against 3.2 MB at rank 32" in text
    assert "Note: Cutting helps:" in text
    tested = table_of_test(cut_record(better, **about, final=(4, 32)), conclusion)
    assert tested is not None
    assert "handed out: rank 4, cut from 32" in [str(cell) for cell in tested.columns[0].cells]


def test_without_uncut_adapters_there_is_no_gap() -> None:
    record = cut_record({2: 0.5, 4: 0.4}, failures={32: (Status.FAILED, "diverged: the loss was nan at step 3")})
    table = ladder_table(record, concluded(record))
    assert column(table, "gap to\nuncut") == ["-"] * 4
    assert training_line(record, concluded(record)) is None
    text = unwrapped(told(record))
    assert (
        "Best so far is rank 4; its adapter is 400 kB. Forgetting: the loss on general prose changes by +0.250" in text
    )
    assert "nats per token. - Rank 32, which smaller ranks are cut from" in text


def test_a_rank_that_no_cut_matches_is_handed_out_uncut() -> None:
    text = unwrapped(told(cut_record({4: 2.0, 8: 1.5, 32: 0.5})))
    assert "Rank 32 is needed whole" in text
    assert "Its adapter is 3.2 MB, training took 20 s." in text
