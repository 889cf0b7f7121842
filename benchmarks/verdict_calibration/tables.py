"""Results as Markdown tables, for the terminal and for docs/calibration.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def worst_by_group(rows: Sequence[Row], rate: str) -> str:
    """The largest rate of any world of a group, by seeds."""
    groups, kinds = (list(dict.fromkeys(row[key] for row in rows)) for key in ("group", "seeds"))
    body = []
    for group in groups:
        mine = [row for row in rows if row["group"] == group]
        worst = [max(row[rate] for row in mine if row["seeds"] == kind) for kind in kinds]
        body.append([group, len({row["world"] for row in mine}), *(percent(value) for value in worst)])
    return table(["group", "settings", *(f"{kind} seeds" for kind in kinds)], body)


def summary(rows: Sequence[Row], alpha: float) -> list[Row]:
    """The rows, of those held to the level, that are above it by more than two standard errors of the simulation."""
    error = 2 * (alpha * (1 - alpha) / rows[0]["studies"]) ** 0.5
    claims = ("false_certified", "false_inferior_up", "false_inferior_down")
    return [row for row in rows if not row["stress"] and any(row[claim] > alpha + error for claim in claims)]


def reach(rows: Sequence[Row]) -> str:
    """The detectable difference by number of seeds, and by the margin in standard deviations between seeds."""
    body = []
    kinds = list(dict.fromkeys(row["seeds"] for row in rows))
    for ratio in dict.fromkeys(row["margin_in_sd"] for row in rows):
        mine = {row["seeds"]: row for row in rows if row["margin_in_sd"] == ratio}
        body.append([ratio, *(f"{share(mine[kind]['certifies'])} / {share(mine[kind]['excludes'])}" for kind in kinds)])
    return table(["margin / seed sd", *(f"{kind} seeds" for kind in kinds)], body)


def plain(rows: Sequence[Row]) -> str:
    """Rows of equal keys, as they are."""
    return table(list(rows[0]), [list(row.values()) for row in rows])


def percent(value: float) -> str:
    """A rate as written in tables."""
    return f"{100 * value:.1f} %"


def share(value: float | None) -> str:
    """A difference in margins as written in tables."""
    return "never" if value is None else f"{value:.2f}"
