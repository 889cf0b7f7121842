"""The pictures of a report, as SVG files: the ladder, and loss against adapter size with its Pareto front."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sweep.config.targets import set_name
from sweep.config.units import show_bytes
from sweep.methods import label_of, title_of
from sweep.records import CompletedTrial, StudyRecord
from sweep.reports.page.ladder import MEANS, Scale, reach, scale_of
from sweep.reports.tables import pareto_front
from sweep.verdict.conclusion import Conclusion, rank_results
from sweep.verdict.ladder import RankResult
from sweep.verdict.record import State
from sweep.verdict.terms import RANKS

PICTURE = "pareto.svg"


def draw_pareto(record: StudyRecord, file: Path) -> None:
    """Writes an SVG: one point per complete trial, labelled with its rank; the base's loss is in the title.

    The same record gives the same bytes.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "goldilocks"
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure  # without pyplot, which takes longer to import

    trials = record.complete()
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    several = len(record.methods()) > 1
    group = _method if several else partial(_targets, record)
    names = sorted({group(trial) for trial in trials})
    for name in names:
        alike = [trial for trial in trials if group(trial) == name]
        axes.scatter([_megabytes(trial) for trial in alike], [trial.loss for trial in alike], label=_text(name), s=40)
    for trial in trials:
        axes.annotate(
            _text(label_of(trial.arm)),
            (_megabytes(trial), trial.loss),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=8,
        )
    _draw_front(axes, trials)
    axes.set_xscale("log")
    axes.set_xlabel("adapter size on disk, MB")
    axes.set_ylabel("loss on tune, nats per token")
    base = record.base
    axes.set_title(
        _text(f"{record.name}: {record.task} on {record.model}")
        + (f" (base model: loss {base.loss:.2f})" if base else "")
    )
    axes.legend(title="method" if several else "target modules", fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None, "Creator": "Goldilocks"})


def _targets(record: StudyRecord, trial: CompletedTrial) -> str:
    return set_name(trial.arm.targets, record.target_sets) or title_of(trial.arm)


def _method(trial: CompletedTrial) -> str:
    return title_of(trial.arm)


def _megabytes(trial: CompletedTrial) -> float:
    return trial.measures.adapter_bytes / 1e6


def _draw_front(axes: Any, trials: list[CompletedTrial]) -> None:
    front = pareto_front([(trial.loss, trial.measures.adapter_bytes) for trial in trials])
    best = sorted((_megabytes(trial), trial.loss) for trial, on in zip(trials, front, strict=True) if on)
    axes.step(
        [size for size, _ in best],
        [loss for _, loss in best],
        where="post",
        color="grey",
        linewidth=1,
        label="Pareto front",
    )


LADDER_PICTURE = "ladder.svg"
_COLOURS = {
    State.CERTIFIED: "#00725a",
    State.UNDECIDED: "#4f5bb5",
    State.INFERIOR: "#b8430b",
    State.FORGETS: "#b8430b",
}
_MARKERS = {State.CERTIFIED: "o", State.UNDECIDED: "D", State.INFERIOR: "X", State.FORGETS: "P"}


def draw_ladder(record: StudyRecord, conclusion: Conclusion | None, file: Path) -> bool:
    """Writes an SVG of the ladder with bounds and margin; returns False if there are no ranks, or no gaps between them.

    The same record gives the same bytes.
    """
    rows, scale = rank_results(record, conclusion), scale_of(record, conclusion)
    if not rows or not scale.kind.has_gaps:
        return False
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "goldilocks"
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure  # without pyplot, which takes longer to import

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for state in MEANS:
        of_state = [(place, row) for place, row in enumerate(rows) if row.state is state]
        if of_state:
            _draw(axes, of_state, state, scale)
    for place, row in enumerate(rows):
        if conclusion is not None and row.rank == conclusion.rank:
            axes.scatter(
                [place],
                [row.diff_to_best],
                s=330,
                facecolors="none",
                edgecolors="#1b1f24",
                label=f"chosen {scale.kind.terms.one}",
            )
    _draw_margin(axes, scale)
    if scale.kind.is_cut:
        axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(rows)), [_text(_tick(row, scale)) for row in rows])
    axes.set_xlim(-0.5, len(rows) - 0.5)
    trained = "LoRA rank" if scale.kind.terms is RANKS else "method, the cheapest first"
    axes.set_xlabel("rank of the adapter, and its size" if scale.kind.is_cut else trained)
    axes.set_ylabel(_text(f"{scale.kind.axis}, {scale.unit}"))
    axes.set_title(_text(f"{record.name}: {record.task} on {record.model}"))
    axes.legend(fontsize=8, frameon=False)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None, "Creator": "Goldilocks"})
    return True


def _tick(row: RankResult, scale: Scale) -> str:
    return f"{row.rank}\n{show_bytes(row.adapter_bytes)}" if scale.kind.is_cut else str(row.rank)


def _draw(axes: Any, rows: list[tuple[int, RankResult]], state: State, scale: Scale) -> None:
    bounds = [scale.kind.bounds(row) for _, row in rows]
    axes.errorbar(
        [place for place, _ in rows],
        [row.diff_to_best for _, row in rows],
        yerr=[
            [reach(lower, row.diff_to_best) for (_, row), (lower, _) in zip(rows, bounds, strict=True)],
            [reach(row.diff_to_best, upper) for (_, row), (_, upper) in zip(rows, bounds, strict=True)],
        ],
        fmt=_MARKERS[state],
        color=_COLOURS[state],
        markerfacecolor="white" if state is State.UNDECIDED else _COLOURS[state],
        markersize=8,
        capsize=4,
        label=MEANS[state],
        linestyle="none",
    )


def _draw_margin(axes: Any, scale: Scale) -> None:
    if scale.margin is not None:
        axes.axhspan(0, scale.margin, color="#00725a", alpha=0.08, linewidth=0)
        axes.axhline(scale.margin, color="#00725a", linestyle="--", linewidth=1, label=f"margin {scale.margin:.3g}")


def _text(text: str) -> str:
    """Escapes what matplotlib would read as mathematics."""
    return text.replace("$", r"\$")
