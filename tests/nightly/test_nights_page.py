"""The page and the table over all nights: each night is there, changes are marked, hostile text stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweep.commands.nights import nights
from sweep.errors import ConfigurationError
from sweep.nightly import page
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.morning import after
from sweep.nightly.night import Night, Outcome
from sweep.nightly.plots import plots
from sweep.nightly.rows import rows_of
from tests.nightly.made_nights import HOUR, made_night, made_paths, made_verdict, recorded


class Parsed(HTMLParser):
    """The rows of the table, and what a browser would load or follow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.marked: list[bool] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        if tag == "tr" and "data-status" in about:
            self.rows.append([])
            self.marked.append(about.get("class") == "matters")
        if tag == "td":
            self.rows[-1].append("")
        self._cell = tag == "td" or (self._cell and tag in ("a", "span"))
        if tag == "a" and about.get("href"):
            self.links.append(str(about["href"]))
        if about.get("src") or (tag == "link" and about.get("href") != "data:,"):
            self.loads.append(str(attrs))

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


def history() -> list[Night]:
    """A first night, one without change, one that failed, and one with another rank."""
    first = made_verdict(0.19, rank=None, status="undecided", hands_out=8)
    later = made_verdict(0.18, rank=4)
    return [
        made_night(1, Outcome.UNFINISHED, first, exit_code=130, reason="the deadline came"),
        made_night(2, Outcome.UNFINISHED, first, first, exit_code=130, trained=1),
        made_night(3, Outcome.FAILED, first, first, exit_code=4, reason="no trial is complete", trained=0),
        made_night(4, Outcome.DONE, later, first),
        made_night(5, Outcome.DONE, made_verdict(0.176), later, seconds=0.5 * HOUR),
    ]


def test_what_became_of_the_champion_stands_in_page_and_table(tmp_path: Path) -> None:
    paths = made_paths(tmp_path, "pharma")
    verdict = made_verdict()
    news = ChampionNews(2, "worse", "train: 1 added", "promotion", "better on <new>")
    night = made_night(2, Outcome.DONE, verdict, verdict, champion=news, trained=2)
    quiet = made_night(3, Outcome.DONE, verdict, verdict, champion=ChampionNews(2), trained=0)
    after(quiet, recorded(paths, night, quiet), paths)
    text = paths.nights_page.read_text()
    parsed = Parsed(text)
    assert [row[-1] for row in parsed.rows] == ["", news.words]
    assert parsed.marked == [False, True]
    assert "version 2 of the champion is in use" in text
    (row, _) = rows_of([night, quiet])
    assert row.matters


def test_a_reason_that_repeats_is_said_once() -> None:
    nights = [made_night(day, Outcome.FAILED, reason=f"no room, {day} GB are free") for day in (1, 2)]
    nights.insert(1, made_night(1, Outcome.FAILED, schedule="other", study="other", reason="no room, 9 GB are free"))
    assert [row.reason for row in rows_of(nights)] == [
        "no room, 1 GB are free",
        "no room, 9 GB are free",
        "for the same reason as the night before",
    ]


def test_each_night_is_a_row_and_changes_are_marked(tmp_path: Path) -> None:
    paths = made_paths(tmp_path, "pharma")
    ledger = recorded(paths, *history())
    after(history()[-1], ledger, paths)
    text = paths.nights_page.read_text()
    parsed = Parsed(text)
    assert [row[:3] for row in parsed.rows] == [
        [f"2026-03-{day:02}", "pharma", outcome]
        for day, outcome in [(5, "done"), (4, "done"), (3, "failed"), (2, "unfinished"), (1, "unfinished")]
    ]
    assert parsed.marked == [True, True, True, False, True]
    assert parsed.rows[0][3:] == [
        *("certified", "8", "0.871", "0.1760", "1 % of the gain", "12", "30"),
        "Chosen is rank 8, before rank 4",
    ]
    assert parsed.rows[2][-1] == "no trial is complete"
    assert made_verdict()["headline"].split(".")[0] in text
    assert "5 of 5 nights" in text
    assert parsed.loads == []
    followed = [link for link in parsed.links if not link.startswith("#")]
    assert len(followed) == 3  # the note in the table and above, the report
    assert all((paths.nightly / link).is_file() for link in followed)


def test_plots_have_a_dot_for_each_night_with_a_value() -> None:
    loss, rank = plots(rows_of(history()))
    assert (loss.title, rank.title) == ("Loss on certify, nats per token", "Chosen rank")
    assert [dot.y is not None for dot in loss.dots] == [True] * 5
    assert [dot.y is not None for dot in rank.dots] == [False, False, False, True, True]
    assert [dot.failed for dot in loss.dots] == [False, False, True, False, False]
    heights = [dot.y for dot in loss.dots if dot.y is not None]
    assert heights == sorted(heights), "a lower loss is drawn lower, and heights count from the top"
    assert [text for _, text in rank.ticks] == ["4", "8"]
    assert loss.dots[-1].says == "2026-03-05: loss 0.1760, done"
    assert plots(rows_of([made_night(1, Outcome.MISSED)])) == []
    (only,) = [each for each in plots(rows_of(history()[4:])) if each.title == "Chosen rank"]
    assert (only.first, only.last, only.lines) == ("2026-03-05", "", ())


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\u202e&\"'"
    verdict = made_verdict(headline=hostile, arm=hostile, primary_metric=hostile)
    night = made_night(1, Outcome.FAILED, verdict, exit_code=4, reason=hostile)
    text = page.render([night], made_paths(tmp_path), "now")
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_without_nights_and_with_very_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No night has been recorded yet." in page.render([], made_paths(tmp_path), "now")
    monkeypatch.setattr(page, "MOST_ROWS", 3)
    parsed = Parsed(text := page.render(history(), made_paths(tmp_path), "now"))
    assert [row[0] for row in parsed.rows] == ["2026-03-05", "2026-03-04", "2026-03-03"]
    assert "The latest 3 of 5 nights are listed" in text


def test_the_command_prints_the_nights_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert nights([]) == 0
    assert capsys.readouterr().out == "no night has been recorded here yet\n"
    paths = made_paths(tmp_path)
    recorded(paths, *history(), made_night(4, study="legal", schedule="law", seconds=60.0))
    assert nights([]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^\* 2026-03-05 +pharma +done +certified +8 +0.871 +0.1760 +12 +30 +1 % of the gain", printed, re.M
    )
    assert re.search(r"^  2026-03-02 +pharma +unfinished +undecided", printed, re.M)
    assert re.search(r"legal \(by law\)", printed)
    assert "6 nights: 8 h 31 min, 49 trials" in printed
    assert "mlruns/nightly/index.html" in printed
    assert paths.nights_page.is_file()
    assert nights(["study=pharma", "last=2"]) == 0
    printed = capsys.readouterr().out
    assert "2026-03-05" in printed
    assert "2026-03-03" not in printed
    assert "legal" not in printed


def test_wrong_words_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorded(made_paths(tmp_path), made_night(1), made_night(1, study="legal", schedule="law"))
    with pytest.raises(ConfigurationError, match="did you mean 'schedule'"):
        nights(["schedul=x"])
    with pytest.raises(ConfigurationError, match="last=0: write a whole number"):
        nights(["last=0"])
    with pytest.raises(ConfigurationError) as caught:
        nights(["schedule=lav", "study=farma"])
    assert len(caught.value.problems) == 2
    assert "did you mean 'law'" in caught.value.problems[0]
    with pytest.raises(ConfigurationError, match="no night of schedule=law ran study=pharma"):
        nights(["schedule=law", "study=pharma"])
