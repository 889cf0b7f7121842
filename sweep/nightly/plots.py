"""Small plots over nights as SVG, which a page shows without a script: a value for each night, and marks where a night gave no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.nightly.night import Outcome
from sweep.nightly.rows import Row

WIDTH, HEIGHT = 480, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 40
MOST_NIGHTS = 120
"""Older nights are in the table."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A night in a plot; `y` is None where there is no value.

    Attributes:
        says: date and value, in words.
        failed: whether the night gave no result.
        changed: whether the answer or the data changed.
    """

    x: float
    y: float | None
    says: str
    failed: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, in pixels from its top left corner.

    Attributes:
        title: what is plotted.
        says: its text alternative.
        lines: the joined dots, as `points` of polylines; a night without a value parts them.
        ticks: heights and their labels.
        first, last: the dates at both ends.
    """

    title: str
    says: str
    dots: tuple[Dot, ...]
    lines: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    first: str
    last: str


def plots(rows: Sequence[Row]) -> list[Plot]:
    """The loss and the chosen rank over a study's nights; without those that have no value at all.

    A study that is a ladder of arms has its place in the ladder for a rank.
    """
    shown = rows[-MOST_NIGHTS:]
    losses = [row.standing.loss if row.standing else None for row in shown]
    ranks = [row.standing.rank if row.standing else None for row in shown]
    names = {row.standing.rank: row.standing.chosen for row in shown if row.standing and row.standing.rank}
    steps = sorted(names)
    drawn = []
    known = [loss for loss in losses if loss is not None]
    if known:
        ticks = sorted({min(known), max(known)})
        words = ["no loss" if loss is None else f"loss {loss:.4f}" for loss in losses]
        drawn.append(_plot("Loss on certify, nats per token", shown, losses, words, [(t, f"{t:.4f}") for t in ticks]))
    if steps:
        places = [None if rank is None else float(steps.index(rank)) for rank in ranks]
        words = ["no rank" if rank is None else names[rank] for rank in ranks]
        labels = [(float(place), names[rank].removeprefix("rank ")) for place, rank in enumerate(steps)]
        title = "Chosen rank" if all(name.startswith("rank ") for name in names.values()) else "Chosen method"
        drawn.append(_plot(title, shown, places, words, labels))
    return drawn


def _plot(
    title: str,
    rows: Sequence[Row],
    values: Sequence[float | None],
    words: Sequence[str],
    labels: Sequence[tuple[float, str]],
) -> Plot:
    heights = [height for height, _ in labels]
    low, high = min(heights), max(heights)

    def y(value: float) -> float:
        inner = HEIGHT - _TOP - _BOTTOM
        return round(_TOP + inner * (0.5 if high == low else (high - value) / (high - low)), 1)

    def x(number: int) -> float:
        inner = WIDTH - _LEFT - _RIGHT
        return round(_LEFT + inner * (0.5 if len(rows) == 1 else number / (len(rows) - 1)), 1)

    dots = tuple(
        Dot(
            x(number),
            None if value is None else y(value),
            f"{row.night.date}: {said}, {row.night.outcome}",
            row.night.outcome not in (Outcome.DONE, Outcome.UNFINISHED),
            any(change.matters for change in row.changes),
        )
        for number, (row, value, said) in enumerate(zip(rows, values, words, strict=True))
    )
    said = next((word for word, value in zip(reversed(words), reversed(values), strict=True) if value is not None), "")
    return Plot(
        title=title,
        says=f"{title} over {len(rows)} nights, at the end {said}.",
        dots=dots,
        lines=_lines(dots),
        ticks=tuple((y(value), text) for value, text in labels),
        first=rows[0].night.date,
        last=rows[-1].night.date if len(rows) > 1 else "",
    )


def _lines(dots: Sequence[Dot]) -> tuple[str, ...]:
    parts: list[list[str]] = [[]]
    for dot in dots:
        if dot.y is None:
            parts.append([])
        else:
            parts[-1].append(f"{dot.x:g},{dot.y:g}")
    return tuple(" ".join(part) for part in parts if len(part) > 1)
