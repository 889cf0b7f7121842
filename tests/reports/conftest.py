"""Text as it is printed where the output is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from sweep.reports.closing import WIDTH, PlainConsole


@pytest.fixture
def out() -> Console:
    """A console whose `file` keeps what is printed."""
    return PlainConsole(file=io.StringIO(), width=WIDTH)


@pytest.fixture
def printed(out: Console) -> Callable[[RenderableType], list[str]]:
    def lines(shown: RenderableType) -> list[str]:
        out.print(shown)
        assert isinstance(out.file, io.StringIO)
        return out.file.getvalue().splitlines()

    return lines


@pytest.fixture(autouse=True)
def _python_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands to copy start with `python`, whichever interpreter runs the tests."""
    monkeypatch.setattr("sys.executable", "")
