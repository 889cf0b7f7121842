"""Where the seconds of a run went, and how much of what the machine can do it used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoTokenizer

from benchmarks.arithmetic import (
    Shapes,
    Work,
    forward,
    in_batches,
    packed,
    padded,
    scored_packed,
    together,
    training,
)
from benchmarks.machine import Ran
from sweep.records import Arm, StudyPlan, StudyRecord, TrialResult
from sweep.store.paths import Paths
from sweep.training.batches import training_examples
from sweep.training.encoding import Encoded, Encoder
from sweep.training.splits import load_splits

PEERS_SCORING_BATCH = 8
"""The peer's `per_device_eval_batch_size`."""


@dataclass(frozen=True, slots=True)
class Data:
    """What every trial is trained on and scored on, the same for all.

    Attributes:
        ordered: training examples in the order of training.
    """

    ordered: Sequence[Encoded]
    scored: Sequence[Encoded]
    batch: int

    def steps(self) -> Work:
        """The training of one trial in Goldilocks' layout."""
        return together(packed(batch) for batch in in_batches(self.ordered, self.batch))

    def padded_steps(self) -> Work:
        """The training of one trial in the peer's layout."""
        return together(padded(batch) for batch in in_batches(self.ordered, self.batch))

    def scoring(self) -> Work:
        """The evaluation of one trial in Goldilocks' layout."""
        return scored_packed(self.scored)


def data_of(plan: StudyPlan) -> Data:
    """The examples of a plan's trials, encoded."""
    task, model = plan.setup.task, plan.setup.model
    splits = load_splits(task, Paths.here())
    encoder = Encoder(AutoTokenizer.from_pretrained(model.path), task.system_prompt)
    train = encoder.encode_split(splits.train, task.max_length).examples
    tune = encoder.encode_split(splits.tune, task.max_length).examples
    return Data(
        training_examples(train, plan.training, plan.seed),
        tune[: plan.setup.scoring.examples],
        plan.training.batch_size,
    )


def parts(record: StudyRecord, ran: Ran, workers: int) -> dict[str, float]:
    """Seconds of the whole process by part; they add up to it.

    `loading` is all that is before the first trial: Python, configuration, data, the first worker's base, MLflow's database;
    `closing` all that is after the last: tables and report. What workers do at the same time counts once: their seconds are
    summed and divided by their number. `recording and waiting` is what remains.
    """
    results = _results(record)
    first = min(result.started for result in results)
    last = max(result.started + result.seconds for result in results)
    busy: dict[str, float] = defaultdict(float)
    for result in results:
        assert result.measures is not None
        for phase, seconds in result.measures.phases.items():
            busy[phase] += seconds / workers
    return {
        "loading": first - ran.began,
        **{phase: seconds for phase, seconds in busy.items() if seconds},
        "recording and waiting": last - first - sum(busy.values()),
        "closing": ran.began + ran.seconds - last,
    }


def needed(shapes: Shapes, arms: Sequence[Arm], data: Data) -> dict[str, int]:
    """Operations of all trials by part: `train`, and `score` with the scoring of the bare base; and the peer's for the same
    trials. The pass that measures a trial's memory does not count.
    """
    steps, scoring = data.steps(), data.scoring()
    their_scoring = together(padded(batch) for batch in in_batches(data.scored, PEERS_SCORING_BATCH))
    return {
        "train": sum(training(shapes, steps, arm) for arm in arms),
        "score": sum(forward(shapes, scoring, arm) for arm in (None, *arms)),
        "peer_train": sum(training(shapes, data.padded_steps(), arm) for arm in arms),
        "peer_score": sum(forward(shapes, their_scoring, arm) for arm in arms),
    }


def achieved(
    flops: Mapping[str, int], seconds: Mapping[str, float], roofs: Mapping[str, float], whole: float
) -> dict[str, Any]:
    """Rates by part beside the roof, and the seconds that the arithmetic would take at the roof.

    Args:
        flops: of `needed`.
        seconds: of `parts`.
        roofs: by part, in 1e9 operations a second.
        whole: seconds of the whole process.
    """
    spent = {part: seconds.get(part, 0.0) for part in ("train", "score")}
    rates = {part: flops[part] / spent[part] / 1e9 for part in spent if spent[part]}
    least = sum(flops[part] / roofs[part] / 1e9 for part in spent)
    return {
        "flops": dict(flops),
        "parts": {
            part: {
                "seconds": spent[part],
                "gflops": rate,
                "roof_gflops": roofs[part],
                "share_of_roof": rate / roofs[part],
            }
            for part, rate in rates.items()
        },
        "seconds_at_the_roof": least,
        "share_of_whole": least / whole,
    }


def _results(record: StudyRecord) -> list[TrialResult]:
    results = [trial.result for trial in record.complete()]
    return [record.base.result, *results] if record.base is not None else results
