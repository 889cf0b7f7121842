"""Learning curves: the training loss by step, thinned so that a page stays small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from sweep.records import Stage, StepLoss, StudyRecord, TrialRecord, rung_words
from sweep.reports.ladder_kind import is_cut
from sweep.reports.page.chart import Chart, axis, chart, log_axis, shade, short
from sweep.reports.page.escape import in_figure
from sweep.verdict.terms import RANKS, terms_of

RungOf = Callable[[TrialRecord], int]
"""The step of the ladder that a trial belongs to."""

MOST_CURVES = 48
MOST_POINTS = 40


@dataclass(frozen=True, slots=True)
class Curves:
    """The chart, and how many trials are in it.

    Attributes:
        averaged: whether any point is the mean of several steps.
    """

    chart: Chart | None
    drawn: int
    known: int
    stage: str
    averaged: bool


def curves(record: StudyRecord) -> Curves:
    """The curves of the ladder's trainings; without any, the best of `explore` at each rank in turn."""
    certification = record.certification
    certified = (*certification.trials, *certification.confirmed) if certification else ()
    # a cut adapter was not trained: its history is that of the adapter it is cut from
    trials = [trial for trial in certified if trial.result.history and not is_cut(trial)]
    stage = "certify and confirm" if any(trial.spec.stage is Stage.CONFIRM for trial in trials) else "certify"
    if not trials:
        trials, stage = [trial for trial in record.trials if trial.result.history], "explore"
    rung_of: RungOf = certification.rung_of if certification and stage != "explore" else lambda trial: trial.rank
    chosen = _in_turn(trials, rung_of)[:MOST_CURVES]
    averaged = any(len(trial.result.history) > MOST_POINTS for trial in chosen)
    return Curves(_chart(chosen, rung_of) if chosen else None, len(chosen), len(trials), stage, averaged)


def _in_turn(trials: Sequence[TrialRecord], rung_of: RungOf) -> list[TrialRecord]:
    """The best of each rank, then the second of each rank, and so on."""
    places: dict[int, int] = {}
    ordered = []
    for trial in sorted(trials, key=lambda trial: (trial.loss, trial.number)):
        rank = rung_of(trial)
        places[rank] = places.get(rank, 0) + 1
        ordered.append((places[rank], rank, trial))
    return [trial for *_, trial in sorted(ordered, key=lambda item: item[:2])]


def thinned(history: Sequence[StepLoss], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of neighbouring steps, which also reduces the noise."""
    width = -(-len(history) // most) if history else 1
    parts = [history[start : start + width] for start in range(0, len(history), width)]
    return [(short(fmean(entry.step for entry in part)), short(fmean(entry.loss for entry in part))) for part in parts]


def _chart(trials: Sequence[TrialRecord], rung_of: RungOf) -> Chart:
    from plotly import graph_objects

    ranks = sorted(set(map(rung_of, trials)))
    traces = []
    named: set[int] = set()
    heights: list[float] = []
    for trial in sorted(trials, key=lambda trial: (rung_of(trial), trial.seed, trial.number)):
        rank = rung_of(trial)
        points = thinned(trial.result.history)
        heights += [loss for _, loss in points]
        traces.append(
            graph_objects.Scatter(
                x=[step for step, _ in points],
                y=[loss for _, loss in points],
                mode="lines",
                line={"color": shade(ranks.index(rank), len(ranks)), "width": 1.6},
                opacity=0.85,
                name=in_figure(rung_words(rank)),
                legendgroup=str(rank),
                showlegend=rank not in named,
                hovertemplate=f"<b>{in_figure(trial.name)}</b><br>step %{{x:.0f}}: loss %{{y:.3f}}<extra></extra>",
            )
        )
        named.add(rank)
    return chart(
        "curves",
        f"Training loss by step of {len(trials)} trials {'at ranks' if terms_of(ranks) is RANKS else 'with'} {', '.join(map(str, ranks))}.",
        traces,
        xaxis=axis("step", rangemode="tozero", showgrid=False),
        yaxis=log_axis("training loss, nats per token", heights)
        if min(heights) > 0
        else axis("training loss, nats per token"),
    )
