"""The picture beside the table: loss against adapter size, the Pareto front drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweep.config.targets import set_name
from sweep.records import CompletedTrial, StudyRecord
from sweep.verdict.pareto import pareto_front

PICTURE = "pareto.svg"


def draw_pareto(record: StudyRecord, file: Path) -> None:
    """Writes an SVG: one point a complete trial, labelled with its rank; the base's loss is in the title.

    The same record gives the same bytes.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "goldilocks"
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    trials = record.complete()
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    names = sorted({_targets(record, trial) for trial in trials})
    for name in names:
        alike = [trial for trial in trials if _targets(record, trial) == name]
        axes.scatter([_megabytes(trial) for trial in alike], [trial.loss for trial in alike], label=name, s=40)
    for trial in trials:
        axes.annotate(
            f"r{trial.rank}",
            (_megabytes(trial), trial.loss),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=8,
        )
    _draw_front(axes, trials)
    axes.set_xscale("log")
    axes.set_xlabel("adapter size on disk, MB")
    axes.set_ylabel("loss on tune, nats a token")
    base = record.base
    axes.set_title(
        f"{record.name}: {record.task} on {record.model}" + (f" (base model: loss {base.loss:.2f})" if base else "")
    )
    axes.legend(title="target modules", fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None, "Creator": "Goldilocks"})
    pyplot.close(figure)


def _targets(record: StudyRecord, trial: CompletedTrial) -> str:
    return set_name(trial.arm.targets, record.target_sets)


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
