"""What `sweep.run`, `sweep.open_study` and `sweep.train` return: a study or a trial, its verdict, and its tables."""

from __future__ import annotations

import datetime
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.targets import set_name
from sweep.config.task_limits import limits_of
from sweep.methods import LORA_VARIANTS
from sweep.records import CompletedTrial, Measures, StudyRecord, TrialRecord
from sweep.reports.steps import shown
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.verdict_json import verdict_json

if TYPE_CHECKING:
    import pandas as pd

_WHOLE_NUMBERS = ("cut_from", "peak_memory_bytes", "adapter_bytes", "trainable_parameters")
"""Columns of whole numbers in which values can be missing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A study's answer; `str(verdict)` is its headline.

    Attributes:
        status: `certified`, `provisional` or `undecided`.
        rank: the smallest rank shown to be enough, within the margin; None while undecided. Of a ladder of arms its place in the ladder,
            from 1; `json["arm"]` is its name.
        bracket: the lowest and the highest rank that may be the answer; None before any rank has a complete trial.
        headline: the answer in a sentence.
        reasons: why the answer is not final.
        json: the contents of verdict.json (docs/verdict.md).
    """

    status: str
    rank: int | None
    bracket: tuple[int, int] | None
    headline: str
    reasons: tuple[str, ...]
    json: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.headline


class Study:
    """A study with its records; makes no change to any file.

    Args:
        record: see `sweep.records.StudyRecord`; it stays as it was when the study was run or opened.
        paths: the `mlruns` folder of the study.

    Attributes:
        name: the study's name.
        record: all records of the study.
    """

    def __init__(self, record: StudyRecord, paths: Paths) -> None:
        self.name = record.name
        self.record = record
        self._paths = paths

    @cached_property
    def verdict(self) -> Verdict:
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        contents = verdict_json(self.record, conclude(self.record), created)
        low_and_high = contents["bracket"]
        return Verdict(
            status=contents["status"],
            rank=contents["rank"],
            bracket=(low_and_high[0], low_and_high[-1]) if low_and_high else None,
            headline=contents["headline"] or "No rank is certified yet.",
            reasons=tuple(contents["reasons"]),
            json=contents,
        )

    @property
    def adapter(self) -> Path | None:
        """The folder of the chosen adapter in PEFT's format, or None if no trial is complete."""
        folder = self._paths.adapter(self.name)
        return folder if any((folder / name).is_file() for name in ("adapter_config.json", "config.json")) else None

    @property
    def in_use(self) -> Path | None:
        """The folder of the adapter in use: that of the champion where it has a history (`sweep.champion`), else the chosen one.

        Raises:
            EnvironmentLacks: the history cannot be read.
        """
        return Champions(self._paths, self.name).place or self.adapter

    @property
    def report(self) -> Path | None:
        """The report for a browser (index.html), or None if it was not written."""
        page = self._paths.page(self.name)
        return page if page.is_file() else None

    def trials(self) -> pd.DataFrame:
        """One row per trial of every stage, including trials that failed, with the unadapted base as rank 0.

        Losses are in nats per completion token; memory and sizes in bytes. Of an adapter that was cut, `cut_from` is the rank that
        was trained, and peak memory is that of the training. The last columns are the task's metrics.
        """
        sets = self.record.target_sets
        several = len(self.record.methods()) > 1
        return _frame([_trial_row(trial, sets, several=several) for trial in self.record.all_trials()])

    def ladder(self) -> pd.DataFrame:
        """One row per rank that was compared, as in verdict.json, with a column per metric."""
        return _frame([_with_metrics({**row}, row["metrics"]) for row in self.verdict.json["ladder"]])

    def __repr__(self) -> str:
        verdict = self.verdict
        return f"<Study {self.name}: {verdict.status}. {verdict.headline}>"

    def _repr_html_(self) -> str:
        verdict, ladder = self.verdict, self.ladder()
        lines = [f"<p><b>{html.escape(self.name)}</b>: {verdict.status}. {html.escape(verdict.headline)}</p>"]
        if limits := limits_of(self.record):
            lines.append(f"<p>Limits: {html.escape(limits)}</p>")
        # the ranks of a cut ladder share a rate, and differ in what is left of the update
        own = "learning_rate" if verdict.json["cut_from"] is None else "energy_kept"
        columns = [
            "arm" if "cost" in verdict.json else "rank",
            "state",
            "seeds",
            own,
            "loss",
            self.record.metric,
            "adapter_bytes",
        ]
        shown_columns = [column for column in columns if column in ladder]
        if len(ladder):
            lines.append(ladder[shown_columns].to_html(index=False, border=0, float_format="{:.4g}".format))
        if self.report is not None:
            lines.append(f"<p>Report: <code>{html.escape(shown(self.report))}</code></p>")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Trial:
    """One complete trial.

    Attributes:
        record: the trial's record.
        adapter: the folder of the trained adapter in PEFT's format.
    """

    record: CompletedTrial = field(repr=False)
    adapter: Path

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def measures(self) -> Measures:
        """What was measured: loss, metrics, memory, sizes, seconds."""
        return self.record.measures

    @property
    def loss(self) -> float:
        """Mean loss on tune, in nats per completion token."""
        return self.measures.loss

    @property
    def metrics(self) -> Mapping[str, float]:
        """The task metric on tune, by name."""
        return self.measures.metrics

    def __repr__(self) -> str:
        metrics = "".join(f", {name} {value:.3f}" for name, value in self.metrics.items())
        return f"<Trial {self.name}: loss {self.loss:.4f}{metrics}, adapter {shown(self.adapter)}>"


def _trial_row(
    trial: TrialRecord, target_sets: Mapping[str, tuple[str, ...]], *, several: bool = False
) -> dict[str, Any]:
    """A row of the table of trials.

    Args:
        several: whether the study has several methods, so that LoRA's variants are named too.
    """
    arm, measures = trial.arm, trial.measures
    row = {
        "number": trial.number,
        "stage": trial.spec.stage.value,
        "status": trial.status.value,
        "rank": trial.rank,
        "alpha": arm.alpha if arm and arm.alpha else None,
        "dropout": arm.dropout if arm and arm.rank else None,
        "targets": set_name(arm.targets, target_sets) if arm and arm.targets else None,
        "learning_rate": arm.learning_rate if arm else None,
        "seed": trial.seed,
        "split": trial.spec.split.value,
        "loss": measures.loss if measures else None,
        "perplexity": measures.perplexity if measures else None,
        "bits_per_byte": measures.bits_per_byte if measures else None,
        "forgetting": measures.forgetting_loss_delta if measures else None,
        "general_accuracy": measures.general_accuracy if measures else None,
        "peak_memory_bytes": measures.peak_bytes if measures else None,
        "adapter_bytes": measures.adapter_bytes if measures else None,
        "cut_from": arm.cut_from if arm else None,
        "energy_kept": measures.energy_kept if measures else None,
        "seconds": trial.seconds,
        "run_id": trial.run_id,
        "reason": trial.reason,
    }
    if arm is not None and (several or arm.method not in LORA_VARIANTS):
        row |= {"method": arm.method, **{f"method.{name}": value for name, value in arm.own}}
    return _with_metrics(row, measures.metrics if measures else {})


def _with_metrics(row: dict[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    row.pop("metrics", None)
    return row | {name if name not in row else f"metric/{name}": value for name, value in metrics.items()}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd  # takes half a second to import

    frame = pd.DataFrame(rows)
    return frame.astype({column: "Int64" for column in _WHOLE_NUMBERS if column in frame})
