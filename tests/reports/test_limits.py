"""The limits of a task stand on every page and on the model card."""

from __future__ import annotations

from dataclasses import replace

import yaml

from sweep.reports.limits import limits_of
from sweep.reports.model_card import Card, model_card
from sweep.reports.page import Beside, answer_of, render, render_comparison
from sweep.verdict.conclude import conclude
from tests.conftest import certified_record

LIMITS = "Made-up notes: no <medical> advice."


def test_limits_are_shown_wherever_the_task_is() -> None:
    plain = certified_record()
    record = replace(plain, config=yaml.safe_dump({"task": {"limits": LIMITS}}))
    assert (limits_of(plain), limits_of(record)) == (None, LIMITS)
    for odd in ("text", "task: [1]", "\0"):
        assert limits_of(replace(plain, config=odd)) is None
    conclusion, trial = conclude(record), record.best()
    assert trial is not None
    shown = "Limits: Made-up notes: no &lt;medical&gt; advice."
    assert shown in render(record, conclusion, answer_of(record, conclusion), Beside("today"))
    assert shown in render_comparison((record, conclusion), (plain, conclude(plain)), "today")
    card = Card(base="some/base", on_hub=True, chat_template=None, has_tokenizer=True)
    assert f"Limits: {LIMITS}" in model_card(record, conclusion, trial, card)
