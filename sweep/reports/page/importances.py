"""Which searched parameters made a trial of `explore` one of the best."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.reports.page.chart import Chart, axis, chart, short
from sweep.reports.page.escape import in_figure


def importances_chart(importances: Mapping[str, float]) -> Chart | None:
    """Shares of the importance, the largest first; None where they are not known."""
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
        "importances",
        "; ".join(f"{name}: {100 * share:.0f} %" for name, share in shares),
        [bars],
        xaxis=axis("share of the importance, %", range=[0, 1.14 * max(top, 1.0)], fixedrange=True),
        yaxis={"automargin": True, "autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 8},
        showlegend=False,
    )
