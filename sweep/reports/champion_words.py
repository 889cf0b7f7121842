"""The history of a champion, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sweep.records.champion import ChampionEntry
from sweep.store.drift import DriftPoint
from sweep.verdict.promotion import level_of


def print_history(entries: Sequence[ChampionEntry], adapter: str, out: Console) -> None:
    """Prints the table of all entries, and what is in use.

    Args:
        entries: at least one, in order.
        adapter: the path that leads to the adapter in use.
    """
    table = Table(title="Champion", title_justify="left", header_style="bold")
    for name, justify in (
        ("entry", "right"),
        ("when (UTC)", "left"),
        ("event", "left"),
        ("in use", "right"),
        ("rank", "right"),
        ("data", "left"),
        ("on old", "right"),
        ("on new", "right"),
        ("level", "right"),
        ("why", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    last = entries[-1]
    for entry in entries:
        table.add_row(
            str(entry.number),
            entry.created[:16].replace("T", " "),
            entry.event.value,
            f"v{entry.version}",
            str(entry.rank),
            entry.data_hash[:8],
            *(_bound(entry.test, side) for side in ("old", "new")),
            f"{entry.test['level']:.2g}" if "level" in entry.test else "",
            entry.reason,
            style="bold green" if entry.number == last.version else None,
        )
    out.print(table)
    if any(entry.test for entry in entries):
        out.print("On old, on new: the challenger's loss minus the champion's, in nats per token ≤ its upper bound")
    out.print(
        f"In use: version {last.version}, rank {entries[last.version - 1].rank}, {adapter}",
        soft_wrap=True,
    )
    level = level_of(last.alpha, last.tests + 1, last.promotions)
    out.print(
        f"A challenger may be worse by less than {last.margin:.3g} nats per token on old examples, and must be better on new ones; "
        f"the next test has the level {level:.2g} (docs/champion.md).",
        soft_wrap=True,
    )


def _bound(test: Mapping[str, Any], side: str) -> str:
    """The estimated difference and its upper bound."""
    if side not in test:
        return ""
    upper = test[side]["upper"]
    return f"{test[side]['difference']:+.3f} ≤ {'?' if upper is None else f'{upper:+.3f}'}"


def print_drift(points: Sequence[DriftPoint], picture: str, out: Console) -> None:
    """Prints the champion's losses on the data of each night.

    Args:
        picture: the path of the same as a picture.
    """
    table = Table(title="Drift", title_justify="left", header_style="bold")
    for name in ("when (UTC)", "version", "old", "new", "base, new", "gain kept", "units", "condition", "what changed"):
        left = name in ("when (UTC)", "condition", "what changed")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for point in points:
        table.add_row(
            point.created[:16].replace("T", " "),
            f"v{point.version}",
            *(_loss(value) for value in (point.old, point.new, point.base_new)),
            "" if math.isnan(point.retained) else f"{point.retained:.0%}",
            "/".join(map(str, point.units)),
            point.condition,
            point.change,
        )
    out.print(table)
    out.print(
        f"Losses on tune, in nats per token, on examples that the champion was judged with and on those since: {picture}",
    )


def _loss(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
