"""The bar of the report on data."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sweep.commands.data_report.progress import Watch


@pytest.mark.parametrize(("seconds", "terminal"), [(1.9, True), (2.1, True), (2.1, False)])
def test_it_is_shown_after_two_seconds_in_a_terminal(seconds: float, terminal: bool) -> None:
    clock = iter([0.0, 1.0, seconds, seconds])
    out = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with Watch(out, lambda: next(clock)) as watch:
        advance = watch.step("reading")
        for share in (0.2, 0.2001, 0.5):
            advance(share)
        watch.step("comparing")
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert ("reading" in shown) == (terminal and seconds > 2)
