"""The page of a cut ladder: what was trained, what was cut from it, and what a gap is measured from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records import Status, StepLoss, StudyRecord
from sweep.reports.page import render_comparison
from sweep.reports.page.curves import curves
from sweep.reports.page.search_charts import rates_chart
from sweep.reports.page.trials import columns, rows
from sweep.reports.pictures import draw_ladder
from sweep.verdict.conclude import conclude
from tests.conftest import arm, certified_record, cut_record, result, study_record
from tests.reports.made_page import page, page_record
from tests.reports.test_page import Parsed, shown
from tests.verdict.test_cut_conclusions import confirmed


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return page_record(ladder_by="cut")


@pytest.fixture(scope="module")
def parsed(record: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    return Parsed(page(record, tmp_path_factory.mktemp("scores")))


def test_chart_measures_from_the_uncut_adapter_and_shows_sizes(parsed: Parsed) -> None:
    figure = parsed.figures()["ladder"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "gap to the uncut rank 32, nats per token"
    assert figure["layout"]["yaxis"]["zeroline"] is True
    assert figure["layout"]["xaxis"]["ticktext"][:2] == ["1<br>118 kB", "2<br>233 kB"]
    bars = {
        rank: trace["error_y"]["array"][place]
        for trace in figure["data"]
        if "error_y" in trace
        for place, rank in enumerate(trace["x"])
    }
    assert bars["32"] == 0.0
    assert min(bars[rank] for rank in ("1", "2", "4", "8", "16")) > 0
    texts = [text for trace in figure["data"] for text in trace.get("text", ())]
    assert any("keeps 93.0 % of the update's energy" in text for text in texts)
    assert any("uncut: the others are cut from these adapters" in text for text in texts)


def test_table_has_energy_and_names_the_training_once(parsed: Parsed) -> None:
    assert "rank state energy kept gap to uncut bounds loss set_f1 seeds adapter" in parsed.text
    assert "4 certified 93.0 % +0.0100" in parsed.text
    assert "32 certified uncut – – 0.1710" in parsed.text
    assert "Trained at rank 32, rate 2.0e-03, 4 seeds," in parsed.text
    assert "energy kept 93.0 % of the update at rank 32" in parsed.text
    assert "the smallest rank that is enough to ship" in parsed.text
    assert "21 without training" in parsed.text


def test_a_trained_ladder_has_no_word_of_cutting() -> None:
    text = shown(certified_record()).text
    assert "uncut" not in text
    assert "energy" not in text
    assert "enough to ship" not in text
    assert [column.title for column in columns("accuracy")][3] == "alpha"


def test_cut_trials_are_not_listed_as_trained(record: StudyRecord) -> None:
    titles = [column.title for column in columns(record.metric, with_cuts=True, with_answers=True)]
    listed = rows(record, record.all_trials())
    assert all(len(row.cells) == len(titles) for row in listed)
    made = {
        row.cells[1].text: (row.cells[titles.index("type")].text, row.cells[titles.index("memory")].text)
        for row in listed
    }
    assert made["r4of32-lr2e-03-s1"] == ("cut from r32", "")
    assert made["r32-lr2e-03-s1"][0] == "trained"
    assert made["r32-lr2e-03-s1"][1] != ""
    assert made["base"][0] == ""
    assert made["r4of32-lr2e-03-s0-test"][0] == "cut from r32"


def test_only_trainings_have_learning_curves(record: StudyRecord) -> None:
    drawn = curves(record)
    assert drawn.chart is not None
    assert (drawn.drawn, drawn.stage) == (4, "certify")
    assert {trace["legendgroup"] for trace in drawn.chart.spec["data"]} == {"32"}


def test_the_framed_rate_is_that_of_the_trainings(record: StudyRecord) -> None:
    drawn = rates_chart(record)
    assert drawn is not None
    assert drawn.says.endswith(" Rank 32 is trained with 2.0e-03.")
    assert [trace.get("name") for trace in drawn.spec["data"]][-1] == "the rate of the trainings"


def test_before_the_verdict_only_the_largest_rank_awaits_its_rate() -> None:
    explored = [result(arm(8), 0.5), result(arm(16), 0.4)]
    record = study_record(explored)
    asked = replace(record, declaration=replace(record.declaration, ladder_by="cut"))
    assert "The rate of rank 8, the only one of the ladder that is trained, is tuned before it is." in shown(asked).text
    assert "so each is judged with its own once it is certified" in shown(record).text


def test_a_rank_that_could_not_be_compared_spans_the_table() -> None:
    assert "failed: evaluation broke" in shown(cut_record(failures={2: (Status.FAILED, "evaluation broke")})).text


def test_two_kinds_of_ladder_are_not_compared_as_if_they_were_one(record: StudyRecord) -> None:
    other = replace(page_record(explored=3), name="other")
    text = Parsed(render_comparison((record, conclude(record)), (other, conclude(other)), "today"))
    assert "The ladders answer different questions" in text.text
    assert "ladder cut from rank 32 each rank trained" in text.text
    assert (
        text.figures()["ladders"]["layout"]["yaxis"]["title"]["text"] == "gap to the best or the uncut rank, in margins"
    )
    alike = Parsed(render_comparison((record, conclude(record)), (record, conclude(record)), "today"))
    assert "different questions" not in alike.text
    assert alike.figures()["ladders"]["layout"]["yaxis"]["title"]["text"] == "gap to the uncut rank, in margins"


def test_the_picture_says_the_same(record: StudyRecord, tmp_path: Path) -> None:
    assert draw_ladder(record, conclude(record), tmp_path / "ladder.svg")
    svg = (tmp_path / "ladder.svg").read_text()
    for text in ("gap to the uncut rank 32, nats per token", "rank of the adapter, and its size", "463 kB"):
        assert text in svg


def test_a_confirmed_rank_is_drawn_beside_its_cut(tmp_path: Path) -> None:
    record = confirmed({4: 0.316})
    found = shown(record)
    (point,) = (trace for trace in found.figures()["ladder"]["data"] if trace["name"] == "trained at this rank")
    assert point["x"] == ["4"]
    assert point["y"] == [pytest.approx(0.016)]
    assert "Trained at rank 4 from the start" in found.text
    listed = [row.cells for row in rows(record, record.all_trials()) if row.stage == "confirm"]
    assert [cells[3].text for cells in listed] == ["trained"] * 3
    history = (StepLoss(1, 2.0, 1e-3), StepLoss(2, 1.0, 1e-3))
    assert record.certification is not None
    confirming = tuple(
        replace(trial, result=replace(trial.result, history=history)) for trial in record.certification.confirmed
    )
    drawn = curves(replace(record, certification=replace(record.certification, confirmed=confirming)))
    assert (drawn.drawn, drawn.stage) == (3, "certify and confirm")
    assert draw_ladder(record, conclude(record), tmp_path / "ladder.svg")


def test_without_uncut_adapters_there_is_a_table_but_no_chart(tmp_path: Path) -> None:
    record = cut_record({2: 0.5, 4: 0.4}, failures={32: (Status.FAILED, "diverged")})
    found = shown(record)
    assert "ladder" not in found.figures()
    assert "4 undecided 93.0 % – – 0.4000" in found.text
    assert not draw_ladder(record, conclude(record), tmp_path / "ladder.svg")
    assert Parsed(render_comparison((record, conclude(record)), (record, conclude(record)), "today")).figures() == {}


def test_a_better_cut_is_named_as_what_is_handed_out() -> None:
    better = {2: 0.49, 4: 0.40, 8: 0.40, 16: 0.46, 32: 0.50}
    text = shown(cut_record(better, base_loss=4.0, cut_noise=0.05, final=(4, 32))).text
    assert "handed out rank 4 better than rank 2" in text
    assert "rank 4 cut from 32, handed out" in text
    assert "accuracy on test 0.870" in text
