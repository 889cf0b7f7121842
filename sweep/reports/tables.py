"""The table of every trial in the terminal, and what tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from sweep.config.targets import set_name
from sweep.config.units import show_bytes, show_seconds
from sweep.methods import LORA_VARIANTS, is_rank_stabilized, own_words, title_of
from sweep.methods.initialization import init_words
from sweep.methods.module_ranks import pattern_words
from sweep.records import Arm, CompletedTrial, EvaluatedTrial, Measures, StudyRecord

PARETO = "◆"


def trials_table(record: StudyRecord) -> Table:
    """All complete trials by rank and loss, of several methods by method first."""
    method = method_of(record)
    title = f"{record.name}: {record.task} on {record.model}" + (f", {method}" if method else "")
    table = Table(title=title, title_justify="left", header_style="bold")
    several = len(record.methods()) > 1
    if several:
        table.add_column("method", overflow="fold")
    for name in ("rank", "alpha"):
        table.add_column(name, justify="right")
    table.add_column("targets", overflow="fold")
    for name in ("drop\nout", "rate", "loss", record.metric, "peak\nmemory", "adapter", "time"):
        table.add_column(name, justify="right")
    table.add_column(PARETO, justify="center")
    if record.base is not None:
        table.add_row(*_row(record, record.base, several=several), "")
    complete = sorted(record.complete(), key=lambda trial: (*_place(record, trial), trial.loss))
    front = pareto_front([(trial.loss, trial.measures.adapter_bytes) for trial in complete])
    best = record.best()
    for trial, on_front in zip(complete, front, strict=True):
        style = "bold green" if best is not None and trial.number == best.number else None
        table.add_row(*_row(record, trial, several=several), PARETO if on_front else "", style=style)
    return table


def _place(record: StudyRecord, trial: CompletedTrial) -> tuple[int, int]:
    """The key by which trials are sorted: method, then rank."""
    return record.methods().index(trial.arm.method), trial.rank


def others(record: StudyRecord) -> list[str]:
    """A line for each trial that is not complete."""
    return [f"{trial.name}: {trial.status.value}: {trial.reason}" for trial in record.trials if not trial.is_complete]


def _row(record: StudyRecord, trial: EvaluatedTrial, *, several: bool) -> list[str]:
    arm, measures = trial.arm, trial.measures
    method = [arm.method if arm is not None else "-"] if several else []
    recipe = ["0", "-", "base model", "-", "-"]
    if arm is not None:
        recipe = [
            str(arm.rank) if arm.rank else "-",
            f"{arm.alpha:g}" if arm.alpha else "-",
            ", ".join(filter(None, (set_name(arm.targets, record.target_sets), own_words(arm)))) or "-",
            f"{arm.dropout:g}" if arm.rank else "-",
            f"{arm.learning_rate:.1e}",
        ]
    return [
        *method,
        *recipe,
        f"{measures.loss:.4f}",
        show_metric(measures, record.metric),
        show_bytes(measures.peak_bytes),
        "-" if arm is None else show_bytes(measures.adapter_bytes),
        show_seconds(trial.seconds),
    ]


def show_metric(measures: Measures, metric: str) -> str:
    """The task metric, or `-` if no answers were written."""
    return f"{measures.metrics[metric]:.3f}" if metric in measures.metrics else "-"


def pareto_front(costs: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point, whether it is on the Pareto front of two costs (lower is better).

    Of equal points all are on the front or none is. A cost that is not a number is never on it.
    """
    usable = [point for point in costs if point[0] == point[0] and point[1] == point[1]]
    return [point in usable and not any(_dominates(other, point) for other in usable) for point in costs]


def _dominates(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[0] and first[1] <= second[1] and first != second


def plain_table(title: str) -> Table:
    """An empty table with a title and a line below its header."""
    return Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def recipe_words(recipe: Arm, sets: Mapping[str, Sequence[str]]) -> str:
    """Target modules, alpha, ranks and layers of single modules, and the method unless it is plain LoRA."""
    method = ", ".join(filter(None, (pattern_words(recipe), method_words(recipe))))
    if not recipe.alpha_ratio:
        return ", ".join(filter(None, (set_name(recipe.targets, sets), method)))
    return f"{set_name(recipe.targets, sets)}, alpha {recipe.alpha_ratio:g} × rank" + (f", {method}" if method else "")


def method_words(recipe: Arm) -> str:
    """`rsLoRA`, `LoRA+ (B 16 times as fast as A)` or both; the title of another method; nothing for plain LoRA."""
    if recipe.method not in LORA_VARIANTS:
        return " and ".join(filter(None, (title_of(recipe), init_words(recipe))))
    parts = ["rsLoRA"] if is_rank_stabilized(recipe) else []
    if recipe.loraplus_lr_ratio != 1:
        parts.append(f"LoRA+ (B {recipe.loraplus_lr_ratio:g} times as fast as A)")
    parts += filter(None, [init_words(recipe)])
    return " and ".join(parts)


def method_of(record: StudyRecord) -> str:
    """The method that a study's trials share, in words; nothing for plain LoRA, or if nothing was trained; of several their names."""
    if len(record.methods()) > 1:
        return ", ".join(record.methods())
    arms = (trial.arm for trial in record.trials)
    return next((method_words(arm) for arm in arms if arm is not None), "")
