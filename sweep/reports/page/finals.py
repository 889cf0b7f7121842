"""The scores on test, of the base, the adapter that is handed out, and the largest rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.records import EvaluatedTrial, StudyRecord, rung_words
from sweep.reports.ladder_kind import is_cut
from sweep.reports.ladder_table import NEAREST
from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.reports.page.escape import in_figure
from sweep.verdict.conclusion import Conclusion, on_test
from sweep.verdict.terms import terms_of


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
        rung = record.certification.rung_of(trial) if record.certification else trial.rank
        roles.setdefault(rung, []).append(name)
        tested[rung] = trial
    answer = conclusion.rank if conclusion is not None else None
    return [
        TestScore(_who(rank, trial, roles[rank], answer), "goldilocks" in roles[rank], trial)
        for rank, trial in sorted(tested.items())
    ]


def _who(rank: int, trial: EvaluatedTrial, roles: Sequence[str], answer: int | None) -> str:
    """Its rank and roles; `answer` is the chosen rank, which is not the one handed out if a cut is better."""
    if trial.arm is None:
        return "base model"
    cut = f" cut from {trial.arm.cut_from}" if is_cut(trial) else ""
    own = "best so far" if answer is None else "chosen" if answer == rank else "handed out"
    words = {"goldilocks": own, "largest": terms_of([rank]).greatest}
    return f"{rung_words(rank)}{cut}, {' and '.join(words[role] for role in roles)}"


def finals_chart(scores: Sequence[TestScore], metric: str) -> Chart | None:
    """The task metric on test as bars; None if it was not measured."""
    from plotly import graph_objects

    shown = [bar for score in scores for bar in _bars(score, metric)]
    if not shown:
        return None
    names = [bar.name for bar in shown]
    values = [short(bar.value) for bar in shown]
    bars = graph_objects.Bar(
        y=[in_figure(name) for name in names],
        x=values,
        orientation="h",
        marker={"color": [bar.colour for bar in shown]},
        text=[f"{value:.3f}" for value in values],
        textposition="outside",
        textfont={"color": "var(--ink)", "size": 14},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        width=0.62,
    )
    return chart(
        "finals",
        "; ".join(f"{name}: {metric} {value:.3f}" for name, value in zip(names, values, strict=True)),
        [bars],
        xaxis=axis(f"{in_figure(metric)} on test, one is best", range=[0, 1.08], fixedrange=True),
        yaxis={"automargin": True, "autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
        showlegend=False,
    )


@dataclass(frozen=True, slots=True)
class _Bar:
    name: str
    value: float
    colour: str


def _bars(score: TestScore, metric: str) -> list[_Bar]:
    """A bar for the model, and one below the base's for the nearest training examples' answers."""
    trial = score.trial
    colour = "var(--base)" if trial.arm is None else "var(--accent)" if score.chosen else "var(--ramp-4)"
    measured = [(score.who, trial.metric(metric)), (NEAREST, trial.nearest(metric))]
    return [_Bar(name, value, colour) for name, value in measured if value is not None]
