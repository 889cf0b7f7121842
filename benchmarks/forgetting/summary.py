"""The table and the picture of the experiment, for docs/forgetting.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.verdict_calibration.tables import table

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "forgetting.svg"

# Okabe and Ito's colours, which colour-blind readers can distinguish
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_MARKERS = {"none": "o", "replay 25 %": "s", "decay to base": "^", "early stopping": "D", "alpha / 4": "v"}

Result = Mapping[str, Any]


def cells(result: Result) -> dict[tuple[str, str], list[Result]]:
    """The rows of each method and way, in their order; a row for each seed."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for row in sorted(result["rows"], key=lambda row: row["seed"]):
        grouped.setdefault((row["method"], row["way"]), []).append(row)
    return grouped


def forgetting_table(result: Result, where: str) -> str:
    """Gain and forgetting of each method and way."""
    grouped = cells(result)
    lines = []
    for (method, way), own in grouped.items():
        plain = grouped.get((method, "none"), own)
        gain, rise = _mean(own, "gain"), _mean(own, "forgetting")
        kept = "" if way == "none" else f"{gain / _mean(plain, 'gain'):.0%}, {rise / _mean(plain, 'forgetting'):.0%}"
        lines.append(
            [
                method,
                way,
                f"{_mean(own, 'loss'):.3f}",
                f"{gain:.3f}",
                f"{rise:+.3f} ({min(row['low'] for row in own):+.3f} to {max(row['high'] for row in own):+.3f})",
                kept,
                ", ".join(_steps(row) for row in own),
            ]
        )
    head = [
        "method",
        "against forgetting",
        "loss",
        "gain",
        "forgetting (95 %)",
        "gain, forgetting left",
        "steps",
    ]
    counts = sorted({len(own) for own in grouped.values()})
    if counts == [1]:
        seeds = "One seed; the interval is over paragraphs"
    else:
        seeds = f"Means of {' or '.join(map(str, counts))} seeds; the interval, over paragraphs, is the widest of the seeds' own"
    return (
        f"{table(head, lines)}\n\n{seeds}. {result['model']}, {result['data']}, "
        f"{result['steps']} steps of {result['batch']} ({where})."
    )


def draw(result: Result, file: Path) -> None:
    """Writes an SVG: a point for each method and way, gain upwards and forgetting to the right. The same results give the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "forgetting",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    grouped = cells(result)
    methods = list(dict.fromkeys(method for method, _ in grouped))
    with mpl.rc_context(style):
        figure = Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.subplots()
        for (method, way), own in grouped.items():
            colour = _COLOURS[methods.index(method)]
            place = _mean(own, "forgetting"), _mean(own, "gain")
            plain = grouped.get((method, "none"))
            if plain is not None and way != "none":
                start = _mean(plain, "forgetting"), _mean(plain, "gain")
                axes.plot(*zip(start, place, strict=True), color=colour, linewidth=0.8, alpha=0.4)
            axes.scatter(*place, marker=_MARKERS[way], color=colour, s=60, zorder=3)
        for method, colour in zip(methods, _COLOURS, strict=False):
            axes.scatter([], [], color=colour, marker="o", label=method)
        for way, marker in _MARKERS.items():
            axes.scatter([], [], color="#555555", marker=marker, label=way)
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set_xlabel("forgetting: rise of the loss on general prose, nats per token")
        axes.set_ylabel("gain: fall of the loss on tune, nats per token")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False, ncols=2)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None, "Creator": "Goldilocks"})


def _mean(own: Sequence[Result], name: str) -> float:
    return mean(float(row[name]) for row in own)


def _steps(row: Result) -> str:
    return str(row["steps"]) if row["kept_step"] is None else f"{row['kept_step']} of {row['steps']}"
