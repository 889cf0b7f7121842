"""Text of users reaches terminal, pages, notes and pictures as text: never as markup, HTML, Markdown or mathematics."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.data_report.progress import Watch
from sweep.nightly.night import Outcome
from sweep.nightly.note import named_on_this_machine, note
from sweep.nightly.rows import rows_of
from sweep.nightly.table import print_nights
from sweep.reports.closing import PlainConsole, print_outcome
from sweep.reports.data_report.profile import Balance, Rendered
from sweep.reports.data_report.words import print_profile
from sweep.reports.model_card import Card, model_card
from sweep.reports.page.escape import in_markdown
from sweep.reports.pictures import draw_ladder, draw_pareto
from sweep.reports.progress import LiveDisplay
from sweep.store.paths import Paths
from sweep.study.mlflow_page import experiment_note
from sweep.verdict.conclude import conclude
from tests.conftest import certified_record
from tests.nightly.made_nights import made_night
from tests.reports.test_data_report import plan, profile
from tests.verdict.studies import with_kinds
from tests.verdict.test_kinds import SCORES

NASTY = "[/price] [bold] :smile: <b>&amp;</b> $x^2$ |`pipe`| \x1b[31m {{ 7*7 }} %s"
SHOWN = NASTY.replace("\x1b", "\\x1b")


def console() -> tuple[PlainConsole, io.StringIO]:
    file = io.StringIO()
    return PlainConsole(file=file, width=400), file


def test_every_table_at_the_end_of_a_study(tmp_path: Path) -> None:
    names = [NASTY, "[price]"]
    scores = {rank: dict.fromkeys(names, 0.5) for rank in SCORES}
    record = with_kinds(certified_record(final=(8, 32)), scores, dict.fromkeys(names, 40))
    record = replace(record, task=NASTY, model=NASTY)
    out, file = console()
    print_outcome(record, Paths.here(tmp_path), None, out)
    text = " ".join(file.getvalue().split())
    assert f"{SHOWN} on {SHOWN}" in text
    assert "[price]" in text
    assert "[/price]" in text
    assert "\x1b" not in text


def test_the_report_on_data() -> None:
    example = Rendered("a.csv:3", "train", f"{NASTY}\n", NASTY, 9, 3)
    made = profile(
        name=NASTY,
        understood=(NASTY,),
        balances=(Balance("label", {"[/price]": (3, 6, 7, 9), "[price]": (3, 6, 7, 9)}),),
        rendered=(example,),
    )
    out, file = console()
    print_profile(made, [], [], replace(plan().setup.task, limits=NASTY), out)
    text = file.getvalue()
    assert text.count(SHOWN) >= 5
    assert "[price]" in text
    assert "\x1b" not in text


def test_bars_in_a_terminal() -> None:
    file = io.StringIO()
    out = PlainConsole(file=file, width=400, force_terminal=True)
    with LiveDisplay(out) as display:
        display.waiting(NASTY)
    with Watch(out, iter((0.0, 9.0)).__next__) as watch:
        watch.step(NASTY)(0.5)
    assert file.getvalue().count(SHOWN) >= 2
    assert NASTY not in file.getvalue()


@pytest.mark.parametrize("draw", [draw_pareto, lambda record, file: draw_ladder(record, conclude(record), file)])
def test_pictures(draw: object, tmp_path: Path) -> None:
    assert callable(draw)
    draw(replace(certified_record(), task="$x^2$ on $y$"), tmp_path / "a.svg")
    drawn = re.sub(
        "<!--.*?-->", "", (tmp_path / "a.svg").read_text(), flags=re.DOTALL
    )  # comments hold every text as given
    assert "$x^2$ on $y$" in drawn


def test_markdown_shows_text_as_it_is_and_keeps_commands() -> None:
    shown = in_markdown(f"{NASTY} run `a [b] <c>`")
    assert shown == (
        r"\[/price] \[bold] :smile: \<b>&amp;\</b> $x^2$ \|`pipe`\| \\x1b\[31m {{ 7\*7 }} %s run `a [b] <c>`"
    )


def test_model_card_and_experiment_note_hold_no_html_of_users() -> None:
    names = [NASTY, "<img src=x>"]
    scores = {rank: dict.fromkeys(names, 0.01) for rank in SCORES}
    record = with_kinds(certified_record(final=(8, 32)), scores, dict.fromkeys(names, 40))
    conclusion, trial = conclude(record), record.best()
    assert conclusion is not None
    assert trial is not None
    assert any("<img" in note for note in conclusion.notes())
    for text in (
        model_card(record, conclusion, trial, Card("base", False, None, False)),
        experiment_note(record, conclusion, None),
    ):
        assert "<img" not in text.replace("\\<img", "")
        assert "\x1b" not in text


def test_nights_as_a_table_and_as_a_note(tmp_path: Path) -> None:
    night = made_night(1, Outcome.FAILED, exit_code=2, reason=f"{NASTY} <img src=x>")
    out, file = console()
    print_nights(rows_of([night]), out)
    text = " ".join(file.getvalue().split())
    assert "failed" in text
    assert SHOWN in text
    written = note(night, [], Paths.here(tmp_path), named_on_this_machine)
    assert "\x1b" not in written
    assert "<img" not in written.replace("\\<img", "")
