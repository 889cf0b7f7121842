"""Forgetting in tables, page, closing words and model card: beside its limit, and as answers to general questions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.measure import Measurement

from sweep.records import StudyRecord
from sweep.reports.closing import answer
from sweep.reports.ladder_table import ladder_table, legend
from sweep.reports.model_card import Card, model_card
from sweep.reports.page import trials as table
from sweep.reports.page.answer import answer_of
from sweep.reports.page.page import Beside, render
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen
from tests.conftest import certified_record, cut_record
from tests.verdict.forgetful import certification_of, forgetful

RISES = {1: 0.01, 2: 0.02, 4: 0.1, 8: 0.15, 16: 0.22, 32: 0.5}


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def asked(record: StudyRecord) -> StudyRecord:
    """With answers to general questions in every certify trial."""
    certification = certification_of(record)

    def told(trial: Any, *right: bool) -> Any:
        return replace(trial, result=replace(trial.result, measures=replace(trial.measures, general_right=right)))

    trials = tuple(told(trial, True, False, True, False) for trial in certification.trials)
    base = told(certification.base, True, True, True, False)
    return replace(record, certification=replace(certification, base=base, trials=trials))


def column(record: StudyRecord, name: str) -> list[str]:
    columns = ladder_table(record, concluded(record)).columns
    (found,) = (column for column in columns if column.header == name)
    return [str(cell) for cell in found.cells]


def width(record: StudyRecord) -> int:
    out = Console(width=300)
    return Measurement.get(out, out.options, ladder_table(record, concluded(record))).maximum


def test_the_table_has_the_bound_and_fits_a_hundred_columns() -> None:
    record = forgetful(asked(cut_record(metric="set_f1")), RISES)
    assert column(record, "forgets")[:3] == ["-", "+0.011", "+0.021"]
    assert float(column(record, "at\nmost")[-1]) > 0.5
    assert column(record, "general\nanswers") == ["0.750", *["0.500"] * 6]
    assert column(record, "state")[-2:] == ["✗ forgets"] * 2
    assert "must be below 0.2 to be certified" in legend(record, concluded(record))
    trained = forgetful(asked(certified_record(metric="set_f1")), RISES)
    assert float(column(trained, "forgets\nat most")[1]) > 0.02
    assert all(width(each) <= 100 for each in (record, trained, asked(certified_record(metric="set_f1"))))


def test_closing_words_and_model_card_say_it() -> None:
    record = forgetful(asked(cut_record()), RISES)
    conclusion = concluded(record)
    trial = chosen(record, conclusion)
    assert trial is not None
    card = model_card(record, conclusion, trial, Card("base", on_hub=True, chat_template=None, has_tokenizer=True))
    for text in (" ".join(answer(record, conclusion)), card):
        assert "It forgets less than 0.2 nats per token on general prose" in text
        assert "This adapter is below the limit of 0.2 (certify.max_forgetting)." in text
        assert "It answers 2 of 4 general questions right, the base model 3" in text
        assert "Ranks 16 and 32 are not certified" in text


def test_a_card_of_an_adapter_that_no_rank_certifies_says_so() -> None:
    record = forgetful(certified_record(), dict.fromkeys((2, 4, 8, 16, 32), 0.5))
    conclusion = concluded(record)
    trial = chosen(record, conclusion)
    assert trial is not None
    card = model_card(record, conclusion, trial, Card("base", on_hub=True, chat_template=None, has_tokenizer=True))
    assert "**Not certified: the best adapter so far.** No rank is certified: every one that may keep enough" in card
    assert "This adapter is not below the limit" in card


def test_the_page_has_limit_bounds_and_answers() -> None:
    record = forgetful(asked(cut_record()), RISES)
    conclusion = concluded(record)
    page = render(record, conclusion, answer_of(record, conclusion), Beside("now"))
    assert '<th title="upper bound of the forgetting; certified below 0.2">at most</th>' in page
    assert "its forgetting is also shown to stay below 0.2 nats per token" in page
    assert 'class="text state forgets"' in page
    assert page.count("<td>0.500</td>") >= 6
    plain = cut_record()
    without = render(plain, concluded(plain), answer_of(plain, concluded(plain)), Beside("now"))
    assert "at most</th>" not in without
    assert "general answers" not in without
    heads = [column.title for column in table.columns("set_f1", with_cuts=True, with_answers=True)]
    row, *_ = table.rows(record, certification_of(record).trials)
    assert dict(zip(heads, row.cells, strict=True))["answers"].text == "0.500"
