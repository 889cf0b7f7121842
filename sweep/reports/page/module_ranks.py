"""Which modules got the rank, where a method spreads it over them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from sweep.methods import title_of
from sweep.records import CompletedTrial, StudyRecord
from sweep.reports.page.chart import RAMP, Chart, axis, chart
from sweep.reports.page.escape import in_figure

V = TypeVar("V", int, float)

_LAYER = re.compile(r"\.(\d+)\.")


def spread_trial(record: StudyRecord) -> CompletedTrial | None:
    """The best trial of the search whose ranks differ by module; None if all modules of all trials have the same."""
    spread = [trial for trial in record.complete() if trial.measures.module_ranks]
    return min(spread, key=lambda trial: trial.loss, default=None)


def by_layer(ranks: Mapping[str, V]) -> dict[str, dict[int, V]]:
    """Ranks by the module's own name, then by the number of its layer; of modules outside any layer the number is -1."""
    table: dict[str, dict[int, V]] = {}
    for name, rank in ranks.items():
        layer = _LAYER.search(name)
        table.setdefault(name.rpartition(".")[2], {})[int(layer[1]) if layer else -1] = rank
    return table


def module_ranks_chart(record: StudyRecord) -> Chart | None:
    """The rank of each module by layer, of the best such trial; None without one."""
    trial = spread_trial(record)
    if trial is None:
        return None
    ranks = trial.measures.module_ranks
    values = list(ranks.values())
    says = (
        f"Ranks of the modules in the best trial of {title_of(trial.arm)}: {min(values)} to {max(values)}, "
        f"{sum(values) / len(values):.1f} on average; {_ends(ranks)}."
    )
    return _drawn("module-ranks", says, ranks)


def _ends(ranks: Mapping[str, int]) -> str:
    """The type of module with the largest mean rank, and that with the smallest."""
    means = {module: sum(of.values()) / len(of) for module, of in by_layer(ranks).items()}
    most, least = max(sorted(means), key=means.__getitem__), min(sorted(means), key=means.__getitem__)
    return f"{most} has {means[most]:.1f}, {least} has {means[least]:.1f}"


def _drawn(name: str, says: str, ranks: Mapping[str, int]) -> Chart:
    """Ranks by layer and type of module."""
    from plotly import graph_objects

    table = by_layer(ranks)
    modules = sorted(table)
    layers = sorted({layer for of_module in table.values() for layer in of_module})
    heat = graph_objects.Heatmap(
        x=["other" if layer < 0 else str(layer) for layer in layers],
        y=[in_figure(module) for module in modules],
        z=[[table[module].get(layer) for layer in layers] for module in modules],
        xgap=2,
        ygap=2,
        zmin=0,
        zmax=max(*ranks.values(), 1),
        colorscale=[[step / (RAMP - 1), f"var(--ramp-{step})"] for step in range(RAMP)],
        colorbar={"title": {"text": "rank", "side": "top", "font": {"size": 12}}, "thickness": 10, "outlinewidth": 0},
        hovertemplate="layer %{x}, %{y}: rank %{z}<extra></extra>",
    )
    return chart(name, says, [heat], xaxis=axis("layer", type="category"), yaxis=axis("", type="category"))
