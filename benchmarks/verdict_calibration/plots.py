"""The pictures of docs/calibration.md, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's colours, which colour-blind readers can distinguish
COLOURS = {"2": "#999999", "3": "#E69F00", "5": "#0072B2", "8": "#009E73", "3, 5, 8": "#CC79A7", "5, 8": "#56B4E9"}
# text stays text, and two runs give the same file
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "verdict",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def calibration(rows: Sequence[Mapping[str, Any]], alpha: float, path: Path) -> None:
    """Share of studies in which a rank that is not good is certified: all settings, sorted, by seeds."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
        kinds = list(COLOURS)
        for kind in kinds:
            place, mine = kinds.index(kind), [row for row in rows if row["seeds"] == kind]
            shares = sorted(row["false_certified"] for row in mine if not row["stress"])
            across = [place + 0.7 * (number / max(len(shares) - 1, 1) - 0.5) for number in range(len(shares))]
            axes.plot(across, shares, color=COLOURS[kind], linewidth=2.5)
            strained = [row["false_certified"] for row in mine if row["stress"]]
            axes.scatter([place + 0.35] * len(strained), strained, s=16, marker="x", color=COLOURS[kind], linewidths=1)
        error = 2 * (alpha * (1 - alpha) / rows[0]["studies"]) ** 0.5
        axes.axhline(alpha, color="black", linewidth=1)
        axes.axhspan(alpha, alpha + error, color="black", alpha=0.12, linewidth=0)
        axes.set_xticks(range(len(kinds)), [f"{kind} seeds" for kind in kinds])
        axes.set_ylabel("wrongly certified")
        axes.set_ylim(bottom=0)
        axes.set_title("All settings in order; crosses: outside what is promised", fontsize=10)
        _save(figure, path)


def power(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Chance that the smallest rank is certified, or shown inferior, by its true difference to the best."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
        for kind, colour in COLOURS.items():
            line = [row for row in rows if row["seeds"] == kind]
            at = [row["difference"] for row in line]
            left.plot(at, [row["certified"] for row in line], color=colour, label=f"{kind} seeds")
            right.plot(at, [row["inferior"] for row in line], color=colour)
        for axes, title in ((left, "certified"), (right, "shown inferior")):
            axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
            axes.axhline(0.05, color="black", linewidth=0.8, linestyle=":")
            axes.set_xlabel("true difference to the best, in margins")
            axes.set_title(f"smallest rank {title}", fontsize=10)
            axes.set_ylim(0, 1.02)
        left.set_ylabel("share of studies")
        left.legend(frameon=False, fontsize=9)
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
