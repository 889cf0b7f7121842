"""The chart of the answer: the gap of each rank to the best or the uncut one, with bounds and margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.config.units import show_bytes
from sweep.records import StudyRecord, rung_words
from sweep.reports.ladder_kind import TRAINED, LadderKind, kept_words, ladder_kind
from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.reports.page.escape import in_figure
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.ladder import RankResult
from sweep.verdict.record import MarginOf, State
from sweep.verdict.terms import RANKS

SYMBOLS = {
    State.CERTIFIED: "circle",
    State.UNDECIDED: "diamond-open",
    State.INFERIOR: "x",
    State.FORGETS: "cross",
}
COLOURS = {
    State.CERTIFIED: "var(--good)",
    State.UNDECIDED: "var(--open)",
    State.INFERIOR: "var(--bad)",
    State.FORGETS: "var(--bad)",
}
MEANS = {
    State.CERTIFIED: "certified",
    State.UNDECIDED: "undecided",
    State.INFERIOR: "inferior",
    State.FORGETS: "forgets too much",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """The unit of the differences.

    Attributes:
        unit: nats per token, or points of the task metric if the margin is one of the metric.
        margin: in that unit; None if unknown.
        alpha: the verdict's error rate.
        kind: what the differences are measured from.
    """

    unit: str
    margin: float | None
    alpha: float
    kind: LadderKind = TRAINED


def scale_of(record: StudyRecord, conclusion: Conclusion | None) -> Scale:
    """The scale of the verdict."""
    declared = record.certification.declared if record.certification else record.declaration
    kind = ladder_kind(record, conclusion)
    if conclusion is not None and conclusion.verdict is not None and declared.margin_of == MarginOf.METRIC:
        return Scale(f"points of {record.metric}", declared.margin, declared.alpha, kind)
    return Scale("nats per token", conclusion.margin_in_loss if conclusion else None, declared.alpha, kind)


@dataclass(frozen=True, slots=True)
class _TrainedGap:
    """The chosen rank of a cut ladder trained from the start: its gap to the uncut adapters, with bounds."""

    rank: int
    gap: float
    lower: float | None
    upper: float | None


def ladder_chart(rows: Sequence[RankResult], conclusion: Conclusion | None, scale: Scale) -> Chart | None:
    """The chart of the ladder; None if there are no ranks, or no gaps between them."""
    from plotly import graph_objects

    if not rows or not scale.kind.has_gaps:
        return None
    traces = []
    for state in MEANS:
        of_state = [row for row in rows if row.state == state]
        if of_state:
            traces.append(graph_objects.Scatter(**_points(of_state, state, scale)))
    chosen = [row for row in rows if conclusion is not None and row.rank == conclusion.rank]
    trained = _trained_gap(rows, conclusion)
    if trained is not None:
        traces.append(graph_objects.Scatter(**_trained_point(trained)))
    if chosen:
        traces.append(
            graph_objects.Scatter(
                x=[str(row.rank) for row in chosen],
                y=[short(row.diff_to_best) for row in chosen],
                mode="markers",
                name=f"chosen {scale.kind.terms.one}",
                marker={"symbol": "circle-open", "size": 26, "color": "var(--ink)", "line": {"width": 1.5}},
                hoverinfo="skip",
            )
        )
    names = [str(row.rank) for row in rows]
    # what a cut saves is the size of the file, so that stands below each rank
    sizes = {"tickvals": names, "ticktext": [f"{row.rank}<br>{show_bytes(row.adapter_bytes)}" for row in rows]}
    ranks = (
        {"title": "rank of the adapter, and its size", **sizes}
        if scale.kind.is_cut
        else {"title": "LoRA rank" if scale.kind.terms is RANKS else "method, the cheapest first"}
    )
    return chart(
        "ladder",
        _says(rows, scale, trained),
        traces,
        xaxis=axis(**ranks, type="category", categoryorder="array", categoryarray=names, showgrid=False),
        yaxis=axis(
            f"{scale.kind.axis}, {in_figure(scale.unit)}", range=_range(rows, scale, trained), **_zero_line(scale)
        ),
        **_band(scale),
    )


def _trained_gap(rows: Sequence[RankResult], conclusion: Conclusion | None) -> _TrainedGap | None:
    """None if the chosen rank was not confirmed, or where the chart is not one of losses."""
    of = conclusion.confirmation if conclusion is not None else None
    cut = next((row.diff_to_best for row in rows if of is not None and row.rank == of.rank), None)
    if conclusion is None or of is None or cut is None or conclusion.verdict is None:
        return None
    if conclusion.verdict.margin_of is MarginOf.METRIC:
        return None
    lower, upper = (cut + end if math.isfinite(end) else None for end in (of.lower, of.upper))
    return _TrainedGap(of.rank, cut + of.difference, lower, upper)


def _trained_point(trained: _TrainedGap) -> dict[str, Any]:
    return {
        "x": [str(trained.rank)],
        "y": [short(trained.gap)],
        "mode": "markers",
        "name": "trained at this rank",
        "marker": {"symbol": "square-open", "size": 13, "color": "var(--ink)", "line": {"width": 2}},
        "text": [f"<b>rank {trained.rank}</b>, trained from the start<br>gap to the uncut {trained.gap:+.4f}"],
        "hovertemplate": "%{text}<extra></extra>",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [reach(trained.gap, trained.upper)],
            "arrayminus": [reach(trained.lower, trained.gap)],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 12,
        },
    }


def _points(rows: Sequence[RankResult], state: State, scale: Scale) -> dict[str, Any]:
    points: dict[str, Any] = {
        "x": [str(row.rank) for row in rows],
        "y": [short(row.diff_to_best) for row in rows],
        "mode": "markers",
        "name": MEANS[state],
        "marker": {
            "symbol": SYMBOLS[state],
            "size": 13,
            "color": COLOURS[state],
            "line": {"width": 2 if state == State.UNDECIDED else 0, "color": COLOURS[state]},
        },
        "text": [_details(row, scale) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
    bounds = [scale.kind.bounds(row) for row in rows]
    if any(end is not None for ends in bounds for end in ends):
        points["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [reach(row.diff_to_best, upper) for row, (_, upper) in zip(rows, bounds, strict=True)],
            "arrayminus": [reach(lower, row.diff_to_best) for row, (lower, _) in zip(rows, bounds, strict=True)],
            "color": COLOURS[state],
            "thickness": 2,
            "width": 7,
        }
    return points


def _zero_line(scale: Scale) -> dict[str, Any]:
    """The uncut adapter; a cut one may be better."""
    return {"zeroline": True, "zerolinecolor": "var(--muted)", "zerolinewidth": 1} if scale.kind.is_cut else {}


def _range(rows: Sequence[RankResult], scale: Scale, trained: _TrainedGap | None) -> list[float]:
    """From below the lowest bound to above the highest, zero and the margin within."""
    ends = [0.0, scale.margin or 0.0, *(row.diff_to_best for row in rows)]
    ends += [end for row in rows for end in scale.kind.bounds(row) if end is not None]
    if trained is not None:
        ends += [end for end in (trained.gap, trained.lower, trained.upper) if end is not None]
    capacity = 0.08 * (max(ends) - min(ends)) or 0.01
    return [short(min(ends) - capacity), short(max(ends) + capacity)]


def reach(low: float | None, high: float | None) -> float:
    """The length of an error bar, 0 if its end is unknown."""
    return 0.0 if low is None or high is None else short(max(high - low, 0.0))


def _details(row: RankResult, scale: Scale) -> str:
    lines = [f"<b>{in_figure(rung_words(row.rank))}</b>: {MEANS[row.state]}"]
    if scale.kind.is_reference(row):
        lines.append("uncut: the others are cut from these adapters")
    else:
        lines.append(f"gap to the {scale.kind.short} {row.diff_to_best:+.4f}")
    lower, upper = scale.kind.bounds(row)
    if lower is not None and upper is not None:
        lines.append(f"bounds {lower:+.4f} to {upper:+.4f} (each at {100 * scale.alpha:g} %)")
    if scale.kind.is_cut and not scale.kind.is_reference(row):
        lines.append(f"keeps {kept_words(row)} of the update's energy")
    lines.append(f"loss {row.loss:.4f}, {row.seeds} seed{'s' if row.seeds != 1 else ''}")
    lines.append(f"adapter {show_bytes(row.adapter_bytes)}")
    return "<br>".join(lines)


def _band(scale: Scale) -> dict[str, Any]:
    margin = scale.margin
    if margin is None:
        return {}
    return {
        "shapes": [
            {
                "type": "rect",
                "layer": "below",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": 0,
                "y1": margin,
                "fillcolor": "var(--band)",
                "line": {"width": 0},
            },
            {
                "type": "line",
                "layer": "below",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": margin,
                "y1": margin,
                "line": {"color": "var(--good)", "width": 1.5, "dash": "dash"},
            },
        ],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": margin,
                "yanchor": "bottom",
                "yshift": 2,
                "text": f"margin {margin:.3g}",
                "showarrow": False,
                "font": {"color": "var(--good)", "size": 12},
            }
        ],
    }


def _says(rows: Sequence[RankResult], scale: Scale, trained: _TrainedGap | None) -> str:
    parts = []
    for row in rows:
        lower, upper = scale.kind.bounds(row)
        bounds = f" ({lower:+.3f} to {upper:+.3f})" if lower is not None and upper is not None else ""
        parts.append(f"{rung_words(row.rank)}: {row.diff_to_best:+.3f}{bounds}, {MEANS[row.state]}")
    if trained is not None:
        parts.append(f"rank {trained.rank} trained from the start: {trained.gap:+.3f}")
    against = f" Margin {scale.margin:.3g}." if scale.margin is not None else ""
    return f"Gap to {scale.kind.reference} in {scale.unit}. {'; '.join(parts)}.{against}"
