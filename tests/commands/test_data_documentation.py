"""The example of docs/data_report.md is what the command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.commands.data_report import repeats
from sweep.commands.data_report.command import data
from sweep.console.command_line import interpreter
from sweep.records.evaluation import FEWEST_CHOSEN
from sweep.reports.data_report import advice
from tasks import gram_hashes
from tasks.sensitive import PATTERNS

PAGE = (Path(__file__).parents[2] / "docs" / "data_report.md").read_text()
COMMAND = re.search(r"^    python -m sweep\.data (.*)$", PAGE, re.MULTILINE)


def made(folder: Path) -> None:
    """Runs the page's first example in Python, in the working directory."""
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    exec(compile(found[1], "docs/data_report.md", "exec"), {})  # noqa: S102 (our own page)
    assert (folder / "support.csv").is_file()


@pytest.mark.slow
def test_the_report_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path)
    found = re.search(r"<!-- report -->\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    assert COMMAND is not None
    assert data(COMMAND[1].split()) == 0
    printed = capsys.readouterr().out.replace(interpreter(), "python")
    assert [line.rstrip() for line in printed.splitlines()] == found[1].splitlines()


def test_the_numbers_of_the_page() -> None:
    text = " ".join(PAGE.split())
    assert f"What is kept of each is {repeats.BYTES_PER_ROW} bytes in memory" in text
    assert f"at most {4 * gram_hashes.MOST_GRAMS} bytes" in text
    assert f"one epoch where that is {advice.FEWEST_STEPS} to {advice.MOST_STEPS:,} steps" in text
    assert f"leaves {100 * advice.COVERED} % of the examples whole" in text
    assert repeats.MOST_COMPARED == 5_000_000
    assert FEWEST_CHOSEN == 100
    for pattern in PATTERNS:
        issuer = pattern.name.split()[0]
        assert issuer in text or pattern.name in text, pattern.name
