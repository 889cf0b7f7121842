"""The champion's loss on the data of each night, as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sweep.store.drift import DriftPoint


def draw_drift(points: Sequence[DriftPoint], file: Path) -> None:
    """Draws the losses night by night; a version that took over is marked. Until the picture is whole, the earlier one stays."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    nights = list(range(len(points)))
    for name, label, style in (
        ("old", "champion, examples it was judged with", "o-"),
        ("new", "champion, examples that have come since", "s-"),
        ("base_new", "base, examples that have come since", "x:"),
    ):
        axes.plot(nights, [getattr(point, name) for point in points], style, label=label)
    for night in nights[1:]:
        if points[night].version != points[night - 1].version:
            axes.axvline(night - 0.5, color="grey", linewidth=0.8)
            axes.annotate(f"v{points[night].version}", (night - 0.5, axes.get_ylim()[1]), va="top")
    axes.set_xticks(nights, [point.created[:10] for point in points], rotation=45, ha="right")
    axes.set_ylabel("loss on tune (nats per token)")
    axes.legend(frameon=False, fontsize="small")
    fresh = file.with_name(f".{file.name}.{os.getpid()}.svg")
    figure.savefig(fresh)
    fresh.replace(file)
