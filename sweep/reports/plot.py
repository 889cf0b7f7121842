"""The picture beside the table: loss against adapter size, the Pareto front drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweep.config.targets import set_name
from sweep.records import Measures, StudyRecord, TrialRecord
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

    trials = [(trial, trial.result.measures) for trial in record.complete() if trial.result.measures is not None]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    names = sorted({_targets(record, trial) for trial, _ in trials})
    for name in names:
        chosen = [measures for trial, measures in trials if _targets(record, trial) == name]
        axes.scatter(
            [found.adapter_bytes / 1e6 for found in chosen], [found.loss for found in chosen], label=name, s=40
        )
    for trial, measures in trials:
        axes.annotate(
            f"r{trial.rank}",
            (measures.adapter_bytes / 1e6, measures.loss),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=8,
        )
    _draw_front(axes, [measures for _, measures in trials])
    axes.set_xscale("log")
    axes.set_xlabel("adapter size on disk, MB")
    axes.set_ylabel("loss on tune, nats a token")
    base = record.base.result.measures if record.base else None
    axes.set_title(
        f"{record.name}: {record.task} on {record.model}" + (f" (base model: loss {base.loss:.2f})" if base else "")
    )
    axes.legend(title="target modules", fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None, "Creator": "Goldilocks"})
    pyplot.close(figure)


def _targets(record: StudyRecord, trial: TrialRecord) -> str:
    arm = trial.spec.arm
    return set_name(arm.targets, record.target_sets) if arm else ""


def _draw_front(axes: Any, measures: list[Measures]) -> None:
    front = pareto_front([(found.loss, found.adapter_bytes) for found in measures])
    best = sorted((found.adapter_bytes / 1e6, found.loss) for found, on in zip(measures, front, strict=True) if on)
    axes.step(
        [size for size, _ in best],
        [loss for _, loss in best],
        where="post",
        color="grey",
        linewidth=1,
        label="Pareto front",
    )
