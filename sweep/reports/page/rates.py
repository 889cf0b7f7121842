"""The map of learning rate and rank: each rank has a best rate of its own, and judging needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.records import Arm, StudyRecord, TrialRecord
from sweep.reports.page.chart import RAMP, Chart, axis, chart, log_axis, short

MOST_POINTS = 1500
_ROOM_FOR_LABELS = 8
_ROOM_FOR_SQUARES = 80


@dataclass(frozen=True, slots=True)
class Tried:
    """A loss on tune at one rank with one rate."""

    rank: int
    rate: float
    loss: float


def rates_tried(record: StudyRecord) -> list[Tried]:
    """The losses on tune of the chosen recipe; before that is chosen, of all recipes. The lowest of equal points counts."""
    certification = record.certification
    recipe = certification.recipe if certification else None
    tuning = certification.tuning if certification else ()
    lowest: dict[tuple[int, float], float] = {}
    for rank, rate, loss in (
        *_losses(record.trials, recipe),
        *_losses(tuning, None),
        *(
            (choice.rank, rate, loss)
            for choice in (certification.rates if certification else ())
            for rate, loss in choice.tried
        ),
    ):
        place = (rank, short(rate))
        lowest[place] = min(loss, lowest.get(place, loss))
    tried = [Tried(rank, rate, loss) for (rank, rate), loss in sorted(lowest.items(), key=lambda item: item[1])]
    return sorted(tried[:MOST_POINTS], key=lambda point: (point.rank, point.rate))


def _losses(trials: Iterable[TrialRecord], recipe: Arm | None) -> Iterable[tuple[int, float, float]]:
    for trial in trials:
        arm = trial.arm
        if arm is None or not trial.is_complete or not (recipe is None or _same_recipe(arm, recipe)):
            continue
        yield arm.rank, arm.learning_rate, trial.loss


def _same_recipe(arm: Arm, recipe: Arm) -> bool:
    return (arm.alpha_ratio, arm.dropout, arm.targets) == (recipe.alpha_ratio, recipe.dropout, recipe.targets)


def _labels(tried: Sequence[Tried]) -> Any:
    """The losses below the points, clear of the frame around a chosen one; the page leaves them out where it is narrow."""
    from plotly import graph_objects

    return graph_objects.Scatter(
        x=[point.rate for point in tried],
        y=[str(point.rank) for point in tried],
        mode="markers+text",
        text=[f"{point.loss:.2f}" for point in tried],
        textposition="bottom center",
        textfont={"color": "var(--muted)", "size": 11},
        marker={"size": 28, "opacity": 0},
        hoverinfo="skip",
        showlegend=False,
        meta="wide",
    )


def rates_chart(record: StudyRecord) -> Chart | None:
    """The map; None where fewer than two points are known."""
    from plotly import graph_objects

    tried = rates_tried(record)
    if len(tried) < 2:
        return None
    ranks = sorted({point.rank for point in tried})
    losses = sorted(point.loss for point in tried)
    low, high = losses[0], losses[int(0.9 * (len(losses) - 1))]
    points = graph_objects.Scatter(
        x=[point.rate for point in tried],
        y=[str(point.rank) for point in tried],
        mode="markers",
        customdata=[short(point.loss) for point in tried],
        hovertemplate="rank %{y}, rate %{x:.2e}<br>loss %{customdata:.4f}<extra></extra>",
        marker={
            "symbol": "square",
            "size": 17 if len(tried) <= _ROOM_FOR_SQUARES else 8,
            "color": [short(min(point.loss, high)) for point in tried],
            "cmin": low,
            "cmax": high if high > low else low + 1e-9,
            "colorscale": [[step / (RAMP - 1), f"var(--heat-{step})"] for step in range(RAMP)],
            "colorbar": {
                "title": {"text": "loss", "side": "top", "font": {"size": 12}},
                "thickness": 10,
                "outlinewidth": 0,
                "len": 0.9,
                "nticks": 5,
            },
            "line": {"width": 0},
        },
        showlegend=False,
    )
    traces = [points]
    if max(sum(point.rank == rank for point in tried) for rank in ranks) <= _ROOM_FOR_LABELS:
        traces.append(_labels(tried))
    choices = record.certification.rates if record.certification else ()
    if choices:
        traces.append(
            graph_objects.Scatter(
                x=[choice.learning_rate for choice in choices],
                y=[str(choice.rank) for choice in choices],
                mode="markers",
                name="the rate each rank is judged with",
                marker={"symbol": "square-open", "size": 24, "color": "var(--ink)", "line": {"width": 2}},
                hoverinfo="skip",
            )
        )
    rates = [*(point.rate for point in tried), *(choice.learning_rate for choice in choices)]
    best = min(tried, key=lambda point: point.loss)
    return chart(
        "rates",
        f"Loss on tune at {len(tried)} pairs of rank and learning rate; the lowest, {best.loss:.3f}, at rank {best.rank} "
        f"with rate {best.rate:.1e}."
        + "".join(f" Rank {choice.rank} is judged with {choice.learning_rate:.1e}." for choice in choices),
        traces,
        xaxis=log_axis("learning rate", rates, exponents=True),
        yaxis=axis(
            "LoRA rank",
            type="category",
            categoryorder="array",
            categoryarray=[str(rank) for rank in ranks],
            range=[-0.75, len(ranks) - 0.5],
        ),
    )
