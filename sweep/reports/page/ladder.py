"""The charts of the answer: the gap of each rank to the best or the uncut one, with bounds and margin, and the scores on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.config.units import show_bytes
from sweep.records import EvaluatedTrial, StudyRecord
from sweep.reports.ladder_kind import TRAINED, LadderKind, is_cut, kept_words, ladder_kind
from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.reports.page.escape import in_figure
from sweep.verdict.conclusion import Conclusion, on_test
from sweep.verdict.ladder import RankResult
from sweep.verdict.record import MarginOf, State

SYMBOLS = {State.CERTIFIED: "circle", State.UNDECIDED: "diamond-open", State.INFERIOR: "x"}
COLOURS = {State.CERTIFIED: "var(--good)", State.UNDECIDED: "var(--open)", State.INFERIOR: "var(--bad)"}
MEANS = {
    State.CERTIFIED: "certified",
    State.UNDECIDED: "undecided",
    State.INFERIOR: "inferior",
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


def ladder_chart(rows: Sequence[RankResult], answer: int | None, scale: Scale) -> Chart | None:
    """The chart of the ladder; None if there are no ranks.

    Args:
        answer: the chosen rank.
    """
    from plotly import graph_objects

    if not rows:
        return None
    traces = []
    for state in MEANS:
        of_state = [row for row in rows if row.state == state]
        if of_state:
            traces.append(graph_objects.Scatter(**_points(of_state, state, scale)))
    chosen = [row for row in rows if row.rank == answer]
    if chosen:
        traces.append(
            graph_objects.Scatter(
                x=[str(row.rank) for row in chosen],
                y=[short(row.diff_to_best) for row in chosen],
                mode="markers",
                name="chosen rank",
                marker={"symbol": "circle-open", "size": 26, "color": "var(--ink)", "line": {"width": 1.5}},
                hoverinfo="skip",
            )
        )
    names = [str(row.rank) for row in rows]
    # what a cut saves is the size of the file, so that stands below each rank
    sizes = {"tickvals": names, "ticktext": [f"{row.rank}<br>{show_bytes(row.adapter_bytes)}" for row in rows]}
    ranks = {"title": "rank of the adapter, and its size", **sizes} if scale.kind.is_cut else {"title": "LoRA rank"}
    return chart(
        "ladder",
        _says(rows, scale),
        traces,
        xaxis=axis(**ranks, type="category", categoryorder="array", categoryarray=names, showgrid=False),
        yaxis=axis(f"{scale.kind.axis}, {in_figure(scale.unit)}", range=_range(rows, scale), **_zero_line(scale)),
        **_band(scale),
    )


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


def _range(rows: Sequence[RankResult], scale: Scale) -> list[float]:
    """From below the lowest bound to above the highest, zero and the margin within."""
    ends = [0.0, scale.margin or 0.0, *(row.diff_to_best for row in rows)]
    ends += [end for row in rows for end in scale.kind.bounds(row) if end is not None]
    capacity = 0.08 * (max(ends) - min(ends)) or 0.01
    return [short(min(ends) - capacity), short(max(ends) + capacity)]


def reach(low: float | None, high: float | None) -> float:
    """The length of an error bar, 0 if its end is unknown."""
    return 0.0 if low is None or high is None else short(max(high - low, 0.0))


def _details(row: RankResult, scale: Scale) -> str:
    lines = [f"<b>rank {row.rank}</b>: {MEANS[row.state]}"]
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


def _says(rows: Sequence[RankResult], scale: Scale) -> str:
    parts = []
    for row in rows:
        lower, upper = scale.kind.bounds(row)
        bounds = f" ({lower:+.3f} to {upper:+.3f})" if lower is not None and upper is not None else ""
        parts.append(f"rank {row.rank}: {row.diff_to_best:+.3f}{bounds}, {MEANS[row.state]}")
    against = f" Margin {scale.margin:.3g}." if scale.margin is not None else ""
    return f"Gap to {scale.kind.reference} in {scale.unit}. {'; '.join(parts)}.{against}"


@dataclass(frozen=True, slots=True)
class TestScore:
    """One model that was evaluated on test; `chosen` is the one whose adapter is handed out."""

    who: str
    chosen: bool
    trial: EvaluatedTrial


def test_scores(record: StudyRecord, conclusion: Conclusion | None) -> list[TestScore]:
    """Base, chosen and largest rank, as far as they were evaluated on test; the smallest rank first."""
    roles: dict[int, list[str]] = {}
    tested = {}
    for name, trial in on_test(record, conclusion).items():
        roles.setdefault(trial.rank, []).append(name)
        tested[trial.rank] = trial
    decided = conclusion is not None and conclusion.rank is not None
    return [
        TestScore(_who(trial, roles[rank], decided=decided), "goldilocks" in roles[rank], trial)
        for rank, trial in sorted(tested.items())
    ]


def _who(trial: EvaluatedTrial, roles: Sequence[str], *, decided: bool) -> str:
    if trial.arm is None:
        return "base model"
    cut = f" cut from {trial.arm.cut_from}" if is_cut(trial) else ""
    words = {"goldilocks": "chosen" if decided else "best so far", "largest": "largest"}
    return f"rank {trial.rank}{cut}, {' and '.join(words[role] for role in roles)}"


def finals_chart(scores: Sequence[TestScore], metric: str) -> Chart | None:
    """The task metric on test as bars; None if it was not measured."""
    from plotly import graph_objects

    shown = [(score, value) for score in scores if (value := score.trial.metric(metric)) is not None]
    if not shown:
        return None
    colours = [
        "var(--base)" if score.trial.rank == 0 else "var(--accent)" if score.chosen else "var(--ramp-4)"
        for score, _ in shown
    ]
    values = [short(value) for _, value in shown]
    bars = graph_objects.Bar(
        y=[score.who for score, _ in shown],
        x=values,
        orientation="h",
        marker={"color": colours},
        text=[f"{value:.3f}" for value in values],
        textposition="outside",
        textfont={"color": "var(--ink)", "size": 14},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        width=0.62,
    )
    return chart(
        "finals",
        "; ".join(f"{score.who}: {metric} {value:.3f}" for (score, _), value in zip(shown, values, strict=True)),
        [bars],
        xaxis=axis(f"{metric} on test, one is best", range=[0, 1.08], fixedrange=True),
        yaxis={"automargin": True, "autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
        showlegend=False,
    )
