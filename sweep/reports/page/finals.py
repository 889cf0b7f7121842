"""The test split, scored once: base model, chosen rank, largest rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import StudyRecord
from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.ladder import on_test


@dataclass(frozen=True, slots=True)
class TestScore:
    """One bar: who was scored on test, and what came of it; `chosen` is the one whose adapter is handed out."""

    who: str
    rank: int
    chosen: bool
    loss: float
    metrics: Mapping[str, float]
    adapter_bytes: int
    forgetting: float | None


def test_scores(record: StudyRecord, conclusion: Conclusion | None) -> list[TestScore]:
    """Base, chosen and largest, as far as they were scored; the smallest rank first."""
    roles: dict[int, list[str]] = {}
    scored = {}
    for name, trial in on_test(record, conclusion).items():
        rank = trial.rank
        roles.setdefault(rank, []).append(name)
        scored[rank] = trial.measures
    return [
        TestScore(
            who=_who(rank, roles[rank], decided=conclusion is not None and conclusion.rank is not None),
            rank=rank,
            chosen="goldilocks" in roles[rank],
            loss=measures.loss,
            metrics=measures.metrics,
            adapter_bytes=measures.adapter_bytes,
            forgetting=measures.forgetting_loss_delta,
        )
        for rank, measures in sorted(scored.items())
    ]


def _who(rank: int, roles: Sequence[str], *, decided: bool) -> str:
    if rank == 0:
        return "base model"
    words = {"goldilocks": "chosen" if decided else "best so far", "largest": "largest"}
    return f"rank {rank}, {' and '.join(words[role] for role in roles)}"


def finals_chart(scores: Sequence[TestScore], metric: str) -> Chart | None:
    """The task metric on test as bars; None where it was not measured."""
    from plotly import graph_objects

    shown = [score for score in scores if metric in score.metrics]
    if not shown:
        return None
    colours = [
        "var(--base)" if score.rank == 0 else "var(--accent)" if score.chosen else "var(--ramp-4)" for score in shown
    ]
    values = [short(score.metrics[metric]) for score in shown]
    bars = graph_objects.Bar(
        y=[score.who for score in shown],
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
        "; ".join(f"{score.who}: {metric} {value:.3f}" for score, value in zip(shown, values, strict=True)),
        [bars],
        xaxis=axis(f"{metric} on test, one is best", range=[0, 1.08], fixedrange=True),
        yaxis={"automargin": True, "autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
        showlegend=False,
    )
