"""The picture of a ladder of arms by what its methods cost: the loss on certify against each cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sweep.config.units import show_bytes, show_seconds
from sweep.records import StudyRecord, rung_words
from sweep.reports.page.chart import Chart, axis, chart, like, log_axis, shade, short
from sweep.reports.page.escape import in_figure
from sweep.reports.page.search_charts import COSTS, Cost
from sweep.reports.tables import pareto_front
from sweep.verdict.ladder import RankResult


def methods_charts(record: StudyRecord, rows: Sequence[RankResult]) -> list[Chart]:
    """The same methods against each cost, on a log axis; empty if none has a result."""
    if not rows:
        return []
    first, *others = (_chart(record, rows, cost) for cost in COSTS)
    return [first, *(like(other, first) for other in others)]


def _chart(record: StudyRecord, rows: Sequence[RankResult], cost: Cost) -> Chart:
    from plotly import graph_objects

    costs = [short(fmean(cost.of(trial.measures) for trial in row.trials)) for row in rows]
    front = pareto_front([(row.loss, paid) for row, paid in zip(rows, costs, strict=True)])
    steps = sorted((paid, short(row.loss)) for row, paid, on in zip(rows, costs, front, strict=True) if on)
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
    for place, (row, paid, on) in enumerate(zip(rows, costs, front, strict=True)):
        traces.append(
            graph_objects.Scatter(
                x=[paid],
                y=[short(row.loss)],
                mode="markers",
                name=in_figure(rung_words(row.rank)),
                marker={
                    "size": 14 if on else 10,
                    "symbol": "diamond" if on else "circle",
                    "color": shade(place, len(rows)),
                    "line": {"width": 1, "color": "var(--raised)"},
                },
                text=[_details(record, row)],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return chart(
        f"pareto-{cost.key}",
        f"Mean loss on certify against {cost.label} for {len(rows)} methods; {sum(front)} of them are on the Pareto front.",
        traces,
        xaxis=log_axis(cost.title, costs) if min(costs) > 0 else axis(cost.title),
        yaxis=axis("loss on certify, nats per token"),
    )


def _details(record: StudyRecord, row: RankResult) -> str:
    score = row.metrics.get(record.metric)
    lines = [
        f"<b>{in_figure(rung_words(row.rank))}</b>: {row.state.value}",
        f"loss {row.loss:.4f}" + (f", {in_figure(record.metric)} {score:.3f}" if score is not None else ""),
        f"{show_bytes(row.adapter_bytes)}, {show_bytes(row.peak_memory_bytes)}, {show_seconds(row.train_seconds)}",
    ]
    return "<br>".join(lines)
