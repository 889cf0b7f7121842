"""What a lower loss costs: adapter size, memory or time, with the front of what nothing beats in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.records import CompletedTrial, Measures, StudyRecord
from sweep.reports.page.chart import Chart, axis, chart, like, log_axis, shade, short
from sweep.reports.page.escape import in_figure
from sweep.verdict.pareto import pareto_front

MOST_POINTS = 1500


@dataclass(frozen=True, slots=True)
class Cost:
    """Something to pay for a lower loss."""

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
    """The same trials against each cost; empty where no trial of `explore` is complete."""
    trials = record.complete()
    if not trials:
        return []
    first, *others = (_chart(record, _shown(trials), cost) for cost in COSTS)
    return [first, *(like(other, first) for other in others)]


def _shown(trials: list[CompletedTrial]) -> list[CompletedTrial]:
    """All of them, or where they are too many those with the lowest loss."""
    return sorted(trials, key=lambda trial: trial.loss)[:MOST_POINTS] if len(trials) > MOST_POINTS else trials


def _chart(record: StudyRecord, trials: list[CompletedTrial], cost: Cost) -> Chart:
    from plotly import graph_objects

    costs = [short(cost.of(trial.measures)) for trial in trials]
    front = pareto_front([(trial.loss, paid) for trial, paid in zip(trials, costs, strict=True)])
    steps = sorted((paid, short(trial.loss)) for trial, paid, on in zip(trials, costs, front, strict=True) if on)
    ranks = sorted({trial.rank for trial in trials})
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
    for index, rank in enumerate(ranks):
        chosen = [(trial, paid, on) for trial, paid, on in zip(trials, costs, front, strict=True) if trial.rank == rank]
        traces.append(
            graph_objects.Scatter(
                x=[paid for *_, paid, _ in chosen],
                y=[short(trial.loss) for trial, *_ in chosen],
                mode="markers",
                name=f"rank {rank}",
                marker={
                    "size": [12 if on else 8 for *_, on in chosen],
                    "symbol": ["diamond" if on else "circle" for *_, on in chosen],
                    "color": shade(index, len(ranks)),
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
        yaxis=axis("loss on tune, nats a token"),
    )


def _details(record: StudyRecord, trial: CompletedTrial) -> str:
    arm, measures, value = trial.arm, trial.measures, trial.metric(record.metric)
    targets = in_figure(set_name(arm.targets, record.target_sets), 40)
    lines = [
        f"<b>{trial.name}</b>",
        f"{targets}, alpha {arm.alpha:g}, dropout {arm.dropout:g}",
        f"loss {trial.loss:.4f}" + (f", {in_figure(record.metric)} {value:.3f}" if value is not None else ""),
        f"{show_bytes(measures.adapter_bytes)}, {show_bytes(measures.peak_bytes)}, {show_seconds(measures.train_seconds)}",
    ]
    return "<br>".join(lines)
