"""Speeds from trials that ended on this machine: their seconds, divided by what they computed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, pstdev
from typing import Any

import yaml

from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.speeds import ANSWERING, BASE, GENERAL, OTHERS, SCORING, SHARES, TRAINING, Speeds
from sweep.commands.planning.work import (
    Rows,
    answering_work,
    padding,
    rows_of,
    scoring_work,
    shared_prefix,
    training_work,
)
from sweep.commands.planning.workload import Encodes, Workload
from sweep.records import Arm, Split, Status, StudyPlan, TrialResult, trial_result_from_json
from sweep.store.paths import Paths
from sweep.store.trials import CONFIG, RESULT, SCORES
from sweep.training.encoding import Encoded
from tasks import Example

MOST_READ = 120
"""The latest trials, which are read."""

LEAST_SPREAD, MOST_SPREAD = 0.12, 0.5
"""A machine is never exactly as fast as before."""

_UNLIKE = {"engine": 0.1, "quant": 0.2, "threads": 0.3}
"""How much is added to the spread if the trials had another engine, quantization of the base, or number of threads."""

_WORDS = {"engine": "another engine", "quant": "another quantization", "threads": "another number of threads"}

_THREADS = 0.85
"""On a CPU a worker with n times the threads is n to this power as fast (SmolLM2-135M, one and two threads on two cores)."""

_KEEPS_COPIES = "cpu"
"""The device whose workers keep dequantized copies of 4-bit weights, so that the quantization hardly changes the speed."""


@dataclass(frozen=True, slots=True)
class TimedTrial:
    """What a trial took and computed.

    Attributes:
        method: or `speeds.BASE`.
        unlike: in what its worker differed from those of the plan.
        seconds, work: by part (`speeds.TRAINING` and so on); the seconds are those of the plan's engine and number of threads.
        result: the whole record.
        quant: of its worker's base.
    """

    method: str
    unlike: tuple[str, ...]
    result: TrialResult
    quant: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    work: Mapping[str, float] = field(default_factory=dict)

    def per_operation(self, part: str) -> float | None:
        """Seconds per operation; None if that part was not timed."""
        seconds, work = self.seconds.get(part, 0.0), self.work.get(part, 0.0)
        return seconds / work if seconds > 0 and work > 0 else None


def recorded_speeds(timed: Sequence[TimedTrial], engine: str) -> Speeds | None:
    """The speeds of the trials that are most like those of the plan; None without a training.

    Args:
        engine: of the plan.
    """
    trained = [trial for trial in timed if trial.per_operation(TRAINING) is not None]
    if not trained:
        return None
    alike = min(trained, key=lambda trial: _distance(trial.unlike)).unlike
    chosen = [trial for trial in timed if trial.unlike == alike]
    return speeds_from(chosen, timed, alike, engine)


def speeds_from(
    chosen: Sequence[TimedTrial], others: Sequence[TimedTrial], unlike: Sequence[str], engine: str
) -> Speeds:
    """Medians, which a single trial on a busy machine does not move.

    Args:
        chosen: at least one has a training.
        others: all trials, for parts that none of the chosen ones has.
    """
    trainings = _by_method(TRAINING, chosen)
    rates = {TRAINING: _medians(trainings)}
    for part, share in SHARES[engine].items():
        if part not in rates:
            known = _by_method(part, chosen) or _by_method(part, others)
            from_training = rates[TRAINING][OTHERS] * SHARES[engine][TRAINING] / share
            rates[part] = _medians(known) if known else {OTHERS: from_training}
    residuals = [
        math.log(rate / rates[TRAINING][method]) for method, own in trainings.items() for rate in own if len(own) > 1
    ]
    spread = pstdev(residuals) if len(residuals) > 1 else LEAST_SPREAD
    count = sum(map(len, trainings.values()))
    other = f" with {' and '.join(_WORDS[name] for name in unlike)}" if unlike else ""
    return Speeds(
        rates,
        min(MOST_SPREAD, max(LEAST_SPREAD, spread)) + _distance(unlike),
        f"{count} training{'' if count == 1 else 's'} recorded here{other}",
    )


def _distance(unlike: Iterable[str]) -> float:
    return sum(_UNLIKE[name] for name in unlike)


def _by_method(part: str, trials: Iterable[TimedTrial]) -> dict[str, list[float]]:
    """Seconds per operation of all trials with this part, by method."""
    rates: dict[str, list[float]] = {}
    for trial in trials:
        rate = trial.per_operation(part)
        if rate is not None:
            rates.setdefault(trial.method, []).append(rate)
    return rates


def _medians(rates: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each method, and for others that of LoRA, or of all."""
    medians = {method: median(own) for method, own in rates.items()}
    every = [rate for own in rates.values() for rate in own]
    return {**medians, OTHERS: medians.get(_USUAL, median(every))}


_USUAL = "lora"


def timed_trials(
    paths: Paths, plan: StudyPlan, device: str, facts: BaseFacts, load: Workload, encoder: Encodes
) -> Iterator[TimedTrial]:
    """The latest stored trials of the plan's base on such a device.

    Args:
        device: as results name it.
    """
    encoded: dict[tuple[str, ...], list[Encoded]] = {}
    for folder in _latest(paths.root / "trials"):
        try:
            result = trial_result_from_json(json.loads((folder / RESULT).read_text(encoding="utf-8")))
            foundation = yaml.load((folder / CONFIG).read_text(), Loader=_LOADER)["foundation"]  # noqa: S506 (a safe loader)
            base, task = foundation["model"]["id"], foundation["task"]["name"]
            rows = [json.loads(line) for line in (folder / SCORES).read_text(encoding="utf-8").splitlines() if line]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue  # a damaged trial is reported and run again by the next study
        provenance = result.provenance
        if result.status is not Status.COMPLETE or provenance is None or provenance.device != device:
            continue
        if base != plan.setup.model.id:
            continue
        key = (task, *(row["key"] for row in rows))
        if key not in encoded:
            encoded[key] = [encoder.encode(Example(row["prompt"], row["expected"])) for row in rows]
        yield _timed(result, foundation, plan, facts, load, encoded[key])


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _latest(trials: Path) -> list[Path]:
    if not trials.is_dir():
        return []
    folders = [file.parent for file in trials.glob("*/*/" + RESULT) if not file.parent.name.startswith(".")]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)[:MOST_READ]


def _timed(
    result: TrialResult,
    foundation: Mapping[str, Any],
    plan: StudyPlan,
    facts: BaseFacts,
    load: Workload,
    items: Sequence[Encoded],
) -> TimedTrial:
    spec, measures = result.spec, result.measures
    assert measures is not None
    assert result.provenance is not None
    packed = foundation["engine"] == "packed"
    rows = rows_of(items, None, packed=packed)
    unlike = {
        "engine": foundation["engine"] == plan.setup.engine,
        "quant": plan.setup.device == _KEEPS_COPIES or foundation["quant"]["name"] == plan.setup.quant.name,
        "threads": result.provenance.threads == plan.setup.threads,
    }
    seconds = {SCORING: measures.phases.get("score", 0.0), ANSWERING: measures.phases.get("answer", 0.0)}
    work = {SCORING: scoring_work(facts, rows, spec.arm)}
    work[ANSWERING] = answering_work(
        facts, rows, labels=_labels(foundation, load), adapted=spec.arm is not None, packed=packed
    )
    if spec.split is Split.TUNE and spec.arm is not None:  # on other splits a part of it is known from before
        seconds[GENERAL] = measures.phases.get("general", 0.0)
        asked = load.questions[Split.TUNE].first(len(measures.general_right))
        work[GENERAL] = general_work(facts, load, asked, packed=packed)
    if spec.arm is not None and spec.arm.cut_from is None and spec.adapter_of is None:
        seconds[TRAINING] = measures.train_seconds
        work[TRAINING] = training_work(facts, _trained(result, rows, items, packed=packed), spec.arm)
    method = spec.arm.method if spec.arm is not None else BASE
    # as they would be in the plan's engine, with its threads
    own, planned = SHARES[foundation["engine"]], SHARES[plan.setup.engine]
    faster = (result.provenance.threads / plan.setup.threads) ** _THREADS if plan.setup.device == "cpu" else 1.0
    seconds = {part: each * faster * own[part] / planned[part] for part, each in seconds.items()}
    differs = tuple(name for name, same in unlike.items() if not same)
    return TimedTrial(method, differs, result, foundation["quant"]["name"], seconds, work)


def _labels(foundation: Mapping[str, Any], load: Workload) -> int:
    """As of the plan's own task; other tasks are taken to be of the same kind."""
    return load.labels


def _trained(result: TrialResult, rows: Rows, items: Sequence[Encoded], *, packed: bool) -> Rows:
    """What the training computed: its tokens are recorded, the rest is as in the examples that it was evaluated on."""
    measures, training = result.measures, result.spec.training
    assert measures is not None
    steps = result.history[-1].step if result.history else training.steps
    examples = steps * training.batch_size * training.gradient_accumulation
    tokens = measures.tokens_per_second * measures.train_seconds
    if packed:
        tokens -= examples + shared_prefix(items) * (examples - examples / training.batch_size)
    else:
        tokens *= padding(items, training.batch_size)
    return Rows(max(float(examples), tokens), examples * rows.predictions / max(1, rows.examples), examples)


def general_work(facts: BaseFacts, load: Workload, asked: Rows, *, packed: bool, arm: Arm | None = None) -> float:
    """Operations of measuring forgetting: general prose, and questions whose answers are compared with others of their kind."""
    answers = answering_work(facts, asked, labels=load.question_labels, adapted=True, packed=packed)
    return scoring_work(facts, load.prose, arm) + scoring_work(facts, asked, arm) + answers
