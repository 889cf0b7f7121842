"""The charts of the search: loss against cost, learning rates by rank, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.methods import label_of, own_words, title_of
from sweep.records import Arm, Certification, CompletedTrial, Measures, StudyRecord, TrialRecord, rung_words
from sweep.reports.page.chart import RAMP, Chart, axis, chart, like, log_axis, shade, short
from sweep.reports.page.escape import in_figure
from sweep.reports.tables import pareto_front
from sweep.verdict.figures import capitalized, made_at
from sweep.verdict.terms import RANKS, terms_of

MOST_POINTS = 1500


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost of a lower loss."""

    key: str
    label: str
    title: str
    of: Callable[[Measures], float]


COSTS = (
    Cost("adapter", "adapter size", "adapter size on disk, MB", lambda measures: measures.adapter_bytes / 1e6),
    Cost("memory", "peak memory", "peak memory, GB", lambda measures: measures.peak_bytes / 1e9),
    Cost("time", "training time", "training time, s", lambda measures: measures.train_seconds),
)


def pareto_charts(record: StudyRecord) -> list[Chart]:
    """The same trials against each cost; empty if no trial of `explore` is complete."""
    trials = record.complete()
    if not trials:
        return []
    first, *others = (_chart(record, _shown(trials), cost) for cost in COSTS)
    return [first, *(like(other, first) for other in others)]


def _shown(trials: list[CompletedTrial]) -> list[CompletedTrial]:
    """All of them, or, if there are too many, those with the lowest loss."""
    return sorted(trials, key=lambda trial: trial.loss)[:MOST_POINTS] if len(trials) > MOST_POINTS else trials


def _chart(record: StudyRecord, trials: list[CompletedTrial], cost: Cost) -> Chart:
    from plotly import graph_objects

    costs = [short(cost.of(trial.measures)) for trial in trials]
    front = pareto_front([(trial.loss, paid) for trial, paid in zip(trials, costs, strict=True)])
    steps = sorted((paid, short(trial.loss)) for trial, paid, on in zip(trials, costs, front, strict=True) if on)
    groups = _groups(trials)
    traces = [
        graph_objects.Scatter(
            x=[paid for paid, _ in steps],
            y=[loss for _, loss in steps],
            mode="lines",
            line={"shape": "hv", "color": "var(--muted)", "width": 1.2, "dash": "dot"},
            name="Pareto front",
            hoverinfo="skip",
        )
    ]
    for index, group in enumerate(sorted(set(groups))):
        chosen = [
            (trial, paid, on) for trial, paid, on, of in zip(trials, costs, front, groups, strict=True) if of == group
        ]
        traces.append(
            graph_objects.Scatter(
                x=[paid for *_, paid, _ in chosen],
                y=[short(trial.loss) for trial, *_ in chosen],
                mode="markers",
                name=in_figure(group[1]),
                marker={
                    "size": [12 if on else 8 for *_, on in chosen],
                    "symbol": ["diamond" if on else "circle" for *_, on in chosen],
                    "color": shade(index, len(set(groups))),
                    "line": {"width": 1, "color": "var(--raised)"},
                    "opacity": 0.9,
                },
                text=[_details(record, trial) for trial, *_ in chosen],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    spread = max(costs) / min(costs) if min(costs) > 0 else 1.0
    return chart(
        f"pareto-{cost.key}",
        f"Loss on tune against {cost.label} for {len(trials)} trials; {sum(front)} of them are on the Pareto front.",
        traces,
        xaxis=log_axis(cost.title, costs) if spread > 4 else axis(cost.title),
        yaxis=axis("loss on tune, nats per token"),
    )


def _groups(trials: Sequence[CompletedTrial]) -> list[tuple[int, str]]:
    """The name of each trial's points in the legend, and its place there: its rank, or of several methods its method."""
    if len({trial.arm.method for trial in trials}) > 1:
        return [(0, title_of(trial.arm)) for trial in trials]
    return [(trial.rank, f"rank {trial.rank}") for trial in trials]


def _details(record: StudyRecord, trial: CompletedTrial) -> str:
    arm, measures, value = trial.arm, trial.measures, trial.metric(record.metric)
    recipe = [in_figure(set_name(arm.targets, record.target_sets), 40)] if arm.targets else []
    recipe += [f"alpha {arm.alpha:g}"] if arm.alpha else []
    recipe += [f"dropout {arm.dropout:g}"] if arm.rank else []
    recipe += [in_figure(own, 60)] if (own := own_words(arm)) else []
    lines = [
        f"<b>{trial.name}</b>",
        ", ".join(recipe) or title_of(arm),
        f"loss {trial.loss:.4f}" + (f", {in_figure(record.metric)} {value:.3f}" if value is not None else ""),
        f"{show_bytes(measures.adapter_bytes)}, {show_bytes(measures.peak_bytes)}, {show_seconds(measures.train_seconds)}",
    ]
    return "<br>".join(lines)


_MOST_LABELS = 8
_MOST_SQUARES = 80


@dataclass(frozen=True, slots=True)
class RateLoss:
    """A loss on tune in one row of the map with one rate.

    Attributes:
        rank: the rank, or the step of a ladder of arms; of a method without ranks its first number, such as that of virtual tokens.
        row: how the row is named.
    """

    rank: int
    rate: float
    loss: float
    row: str = ""


def rates_tried(record: StudyRecord, method: str | None = None) -> list[RateLoss]:
    """The losses on tune of the chosen recipe; before that is chosen, of all recipes. The lowest of equal points counts.

    Args:
        method: the one whose trials are wanted, after a search over methods.
    """
    certification = record.certification
    recipe = certification.recipe if certification else None
    explored = () if certification and certification.declared.arms else record.trials
    tuning = certification.tuning if certification else ()
    lowest: dict[tuple[int, str, float], float] = {}
    for rank, row, rate, loss in (
        *_losses(explored, recipe, method, _row_of_arm),
        *_losses(tuning, None, method, _row_on(certification)),
        *(
            (choice.rank, str(choice.rank), rate, loss)
            for choice in (certification.rates if certification else ())
            for rate, loss in choice.tried
        ),
    ):
        place = (rank, row, short(rate))
        lowest[place] = min(loss, lowest.get(place, loss))
    by_loss = sorted(lowest.items(), key=lambda item: item[1])
    tried = [RateLoss(rank, rate, loss, row) for (rank, row, rate), loss in by_loss]
    return sorted(tried[:MOST_POINTS], key=lambda point: (point.rank, point.row, point.rate))


def _losses(
    trials: Iterable[TrialRecord],
    recipe: Arm | None,
    method: str | None,
    row_of: Callable[[TrialRecord, Arm], tuple[int, str]],
) -> Iterable[tuple[int, str, float, float]]:
    for trial in trials:
        arm = trial.arm
        if arm is None or not trial.is_complete or not (recipe is None or _same_recipe(arm, recipe)):
            continue
        if method is None or arm.method == method:
            yield *row_of(trial, arm), arm.learning_rate, trial.loss


def _row_on(certification: Certification | None) -> Callable[[TrialRecord, Arm], tuple[int, str]]:
    """The row of a trial that tunes a rate: of a ladder of arms its step."""
    if certification is None or not certification.declared.arms:
        return _row_of_arm
    return lambda trial, arm: (certification.rung_of(trial), str(certification.rung_of(trial)))


def _row_of_arm(trial: TrialRecord, arm: Arm) -> tuple[int, str]:
    """The row of an arm in the map of rates: by its rank, else by the first of its own numbers."""
    if arm.rank:
        return arm.rank, str(arm.rank)
    numbers = [value for _, value in arm.own if type(value) is int]
    return (numbers[0] if numbers else 0), label_of(arm)


def _same_recipe(arm: Arm, recipe: Arm) -> bool:
    return (arm.alpha_ratio, arm.dropout, arm.targets) == (recipe.alpha_ratio, recipe.dropout, recipe.targets)


def _labels(tried: Sequence[RateLoss]) -> Any:
    """The losses below the points, clear of the frame around a chosen one; narrow pages leave them out."""
    from plotly import graph_objects

    return graph_objects.Scatter(
        x=[point.rate for point in tried],
        y=[point.row for point in tried],
        mode="markers+text",
        text=[f"{point.loss:.2f}" for point in tried],
        textposition="bottom center",
        textfont={"color": "var(--muted)", "size": 11},
        marker={"size": 28, "opacity": 0},
        hoverinfo="skip",
        showlegend=False,
        meta="wide",
    )


def rates_chart(record: StudyRecord, method: str | None = None) -> Chart | None:
    """The map of losses by rank and rate; None with fewer than two points.

    Args:
        method: the one that it is of, after a search over methods.
    """
    from plotly import graph_objects

    tried = rates_tried(record, method)
    if len(tried) < 2:
        return None
    terms = terms_of(sorted({point.rank for point in tried}))
    rows = list(dict.fromkeys(point.row for point in tried))
    has_ranks = terms is RANKS and all(point.row == str(point.rank) for point in tried)
    one = ("rank" if has_ranks else "size") if terms is RANKS else terms.one
    losses = sorted(point.loss for point in tried)
    low, high = losses[0], losses[int(0.9 * (len(losses) - 1))]
    points = graph_objects.Scatter(
        x=[point.rate for point in tried],
        y=[point.row for point in tried],
        mode="markers",
        customdata=[short(point.loss) for point in tried],
        hovertemplate=f"{'rank ' if has_ranks else ''}%{{y}}, rate %{{x:.2e}}<br>loss %{{customdata:.4f}}<extra></extra>",
        marker={
            "symbol": "square",
            "size": 17 if len(tried) <= _MOST_SQUARES else 8,
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
    if max(sum(point.row == row for point in tried) for row in rows) <= _MOST_LABELS:
        traces.append(_labels(tried))
    choices = record.certification.rates if record.certification else ()
    by = "trained" if record.certification and record.certification.declared.cut_from is not None else "judged"
    if choices:
        traces.append(
            graph_objects.Scatter(
                x=[choice.learning_rate for choice in choices],
                y=[str(choice.rank) for choice in choices],
                mode="markers",
                name="the rate of the trainings" if by == "trained" else f"the rate each {terms.one} is judged with",
                marker={"symbol": "square-open", "size": 24, "color": "var(--ink)", "line": {"width": 2}},
                hoverinfo="skip",
            )
        )
    rates = [*(point.rate for point in tried), *(choice.learning_rate for choice in choices)]
    best = min(tried, key=lambda point: point.loss)
    at = made_at(best.rank) if has_ranks or terms is not RANKS else f"at {best.row}"
    return chart(
        "rates" if method is None else f"rates-{method}",
        f"Loss on tune at {len(tried)} pairs of {one} and learning rate; the lowest, {best.loss:.3f}, {at} "
        f"with rate {best.rate:.1e}."
        + "".join(
            f" {capitalized(rung_words(choice.rank))} is {by} with {choice.learning_rate:.1e}." for choice in choices
        ),
        traces,
        xaxis=log_axis("learning rate", rates, exponents=True),
        yaxis=axis(
            (("LoRA rank" if method is None else "rank") if has_ranks else "") if terms is RANKS else "method",
            type="category",
            categoryorder="array",
            categoryarray=rows,
            range=[-0.75, len(rows) - 0.5],
        ),
    )


def importances_chart(importances: Mapping[str, float], method: str | None = None) -> Chart | None:
    """Shares of the importance, the largest first; None if unknown.

    Args:
        method: the one that they are of, after a search over methods.
    """
    from plotly import graph_objects

    if not importances:
        return None
    shares = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    bars = graph_objects.Bar(
        y=[in_figure(name) for name, _ in shares],
        x=[short(100 * share) for _, share in shares],
        orientation="h",
        marker={"color": "var(--accent)"},
        text=[f"{100 * share:.0f} %" for _, share in shares],
        textposition="outside",
        textfont={"color": "var(--ink)", "size": 14},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        width=0.62,
    )
    top = 100 * max(share for _, share in shares)
    return chart(
        "importances" if method is None else f"importances-{method}",
        "; ".join(f"{name}: {100 * share:.0f} %" for name, share in shares),
        [bars],
        xaxis=axis("share of the importance, %", range=[0, 1.14 * max(top, 1.0)], fixedrange=True),
        yaxis={"automargin": True, "autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
        showlegend=False,
    )
