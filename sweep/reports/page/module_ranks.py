"""Which modules got the rank, where a method spreads it over them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sweep.methods import title_of
from sweep.records import CompletedTrial, StudyRecord
from sweep.reports.page.chart import RAMP, Chart, axis, chart
from sweep.reports.page.escape import in_figure

_LAYER = re.compile(r"\.(\d+)\.")


def spread_trial(record: StudyRecord) -> CompletedTrial | None:
    """The best trial of the search whose ranks differ by module; None if all modules of all trials have the same."""
    spread = [trial for trial in record.complete() if trial.measures.module_ranks]
    return min(spread, key=lambda trial: trial.loss, default=None)


def by_layer(ranks: Mapping[str, int]) -> dict[str, dict[int, int]]:
    """Ranks by the module's own name, then by the number of its layer; of modules outside any layer the number is -1."""
    table: dict[str, dict[int, int]] = {}
    for name, rank in ranks.items():
        layer = _LAYER.search(name)
        table.setdefault(name.rpartition(".")[2], {})[int(layer[1]) if layer else -1] = rank
    return table


def module_ranks_chart(record: StudyRecord) -> Chart | None:
    """The rank of each module by layer, of the best such trial; None without one."""
    from plotly import graph_objects

    trial = spread_trial(record)
    if trial is None:
        return None
    table = by_layer(trial.measures.module_ranks)
    modules = sorted(table)
    layers = sorted({layer for of_module in table.values() for layer in of_module})
    ranks = list(trial.measures.module_ranks.values())
    cells = [[table[module].get(layer) for layer in layers] for module in modules]
    heat = graph_objects.Heatmap(
        x=["other" if layer < 0 else str(layer) for layer in layers],
        y=[in_figure(module) for module in modules],
        z=cells,
        xgap=2,
        ygap=2,
        zmin=0,
        zmax=max(*ranks, 1),
        colorscale=[[step / (RAMP - 1), f"var(--ramp-{step})"] for step in range(RAMP)],
        colorbar={"title": {"text": "rank", "side": "top", "font": {"size": 12}}, "thickness": 10, "outlinewidth": 0},
        hovertemplate="layer %{x}, %{y}: rank %{z}<extra></extra>",
    )
    means = {module: sum(of.values()) / len(of) for module, of in table.items()}
    most, least = max(modules, key=means.__getitem__), min(modules, key=means.__getitem__)
    return chart(
        "module-ranks",
        f"Ranks that {title_of(trial.arm)} left the modules of its best trial: {min(ranks)} to {max(ranks)}, "
        f"{sum(ranks) / len(ranks):.1f} on average; {most} has {means[most]:.1f}, {least} has {means[least]:.1f}.",
        [heat],
        xaxis=axis("layer", type="category"),
        yaxis=axis("", type="category"),
    )
