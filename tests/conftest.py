"""What several rooms' tests share: a small learnable task, and made-up records."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from sweep.records import (
    Arm,
    Certification,
    Declaration,
    EvaluatedTrial,
    Measures,
    Provenance,
    RateChoice,
    Report,
    Split,
    Stage,
    Status,
    StudyRecord,
    Training,
    TrialRecord,
    TrialResult,
    TrialSpec,
)

# tests run side by side: each takes one core (set before torch is imported)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# the same type of products (quant.compute=auto) on every machine, and in the commands that tests run
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"

# by default an example fails that takes more than 200 ms, as any does in which a busy machine pauses
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

TRAINING = Training(steps=100, batch_size=4)
TARGET_SETS: Mapping[str, tuple[str, ...]] = {"q_v": ("q_proj", "v_proj"), "output": ("o_proj",)}
ROWS = {"train": 24, "validation": 24, "test": 12}
LABELS = ("red", "green", "blue")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports make half a million objects that stay: no garbage collection searches them, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables, which take seconds to make, and nothing else in it."""
    from mlflow import MlflowClient  # a second or more to import, and most tests need none

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def made_task(tmp_path: Path) -> Path:
    """A folder for `task=jsonl`: the label stands in the prompt, so that any model can learn it."""
    return write_made_task(tmp_path / "made")


def write_made_task(folder: Path) -> Path:
    """Writes the task of `made_task` into a new folder."""
    folder.mkdir()
    for split, count in ROWS.items():
        labels = [LABELS[number % len(LABELS)] for number in range(count)]
        rows = [
            {"prompt": f"{split} {number}: the {label} box", "completion": label, "label": label}
            for number, label in enumerate(labels)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arm(
    rank: int = 8,
    alpha_ratio: float = 2.0,
    dropout: float = 0.0,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    learning_rate: float = 2e-3,
) -> Arm:
    return Arm(rank, alpha_ratio, dropout, targets, learning_rate)


def measures(loss: float, rank: int = 8, metric: float = 0.5) -> Measures:
    return Measures(
        loss=loss,
        metrics={"accuracy": metric, "accuracy/rare": metric / 2},
        examples=128,
        tokens=512,
        peak_bytes=900_000_000 + rank,
        peak_above_base_bytes=200_000_000,
        base_bytes=100_000_000,
        adapter_bytes=rank * 100_000,
        trainable_parameters=rank * 25_000,
        trainable_fraction=rank * 0.0002,
        train_seconds=20.0,
        eval_seconds=2.0,
        tokens_per_second=400.0,
        general_loss=3.1,
        forgetting_loss_delta=0.25,
        bits_per_byte=loss / 2,
    )


def result(
    recipe: Arm | None,
    loss: float | None,
    status: Status = Status.COMPLETE,
    reason: str | None = None,
    reports: Sequence[Report] = (),
) -> TrialResult:
    """What came of one trial; complete where there is a loss."""
    rank = recipe.rank if recipe else 0
    stage = Stage.EXPLORE if recipe else Stage.BASE
    return TrialResult(
        spec=TrialSpec("0123abcd", "made", stage, recipe, TRAINING, seed=0),
        status=status,
        reason=reason,
        measures=None if loss is None else measures(loss, rank),
        reports=tuple(reports),
        started=1_700_000_000.0,
        seconds=23.0,
        provenance=Provenance({"torch": "2.13.0"}, "cpu", "hub", "basehash", "datahash", 2),
    )


def study_record(trials: Sequence[TrialResult], base_loss: float | None = 4.0) -> StudyRecord:
    return StudyRecord(
        name="made",
        identity="0123456789",
        model="tiny",
        task="boxes",
        metric="accuracy",
        base=None if base_loss is None else EvaluatedTrial(-1, result(None, base_loss), "run-base"),
        trials=tuple(TrialRecord(number, trial, f"run-{number}") for number, trial in enumerate(trials)),
        interrupted=0,
        planned=10,
        declaration=Declaration(ladder=(2, 4, 8), seeds=3, margin=0.01, margin_of="gain", alpha=0.05),
        data_hash="datahash",
        target_sets=TARGET_SETS,
        config="seed: 0\n",
        command="python -m sweep +study=made search.trials=10 seed=1",
    )


CUT_LOSSES: Mapping[int, float] = {1: 0.6803, 2: 0.5995, 4: 0.5721, 8: 0.5625, 16: 0.5573, 32: 0.5551}
"""Completion losses of adapters of rank 32 and of those cut from them; rank 4 is enough with a margin of 2 % of the gain."""

LADDER_LOSSES: Mapping[int, float] = {2: 0.45, 4: 0.36, 8: 0.30, 16: 0.30, 32: 0.30}
"""Completion losses with which rank 8 is just right at the default margin: 1 % of a gain of 3.7 is 0.037 nats."""


def certified_record(
    losses: Mapping[int, float] = LADDER_LOSSES,
    *,
    base_loss: float | None = 4.0,
    seeds: int = 3,
    seed_noise: float = 0.003,
    examples: int = 80,
    example_noise: float = 0.02,
    scores: Mapping[int, float] | None = None,
    metric: str = "accuracy",
    answers: bool = True,
    margin: float = 0.01,
    margin_of: str = "gain",
    alpha: float = 0.05,
    declared: Declaration | None = None,
    looks: Sequence[int] = (),
    at_edge: Sequence[int] = (),
    tried: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    failures: Mapping[int, tuple[Status, str]] | None = None,
    stopped: str | None = None,
    final: Sequence[int] = (),
    ladder_by: str = "train",
    cut_noise: float = 0.2,
) -> StudyRecord:
    """A study that has been certified, made up. The same arguments give the same record.

    Args:
        losses: each rank's mean certify loss, met exactly: noise is centred over examples and seeds.
        base_loss: the unadapted base's loss on every split; None if it was not scored.
        seed_noise: sd of a trial's mean loss between seeds.
        example_noise: sd of an example's loss a token between trials.
        scores: each rank's mean task metric, met exactly, 0 for the base; by default falling with the loss.
        answers: whether the certify trials have a task metric at all.
        declared: what is declared in the study record, if not the same as in the certification.
        looks: seeds at each look; by default one look at all seeds.
        at_edge: ranks whose best rate lies at the highest that may be tried.
        tried: the rates tried on tune and their losses; by default three, the middle one best by 0.1.
        failures: ranks all of whose certify trials ended so, with the reason.
        final: the ranks scored on test, beside the base; none: the final stage has not been.
        ladder_by: with `cut`, only the largest rank is trained, and its adapters are cut to the others. A seed then shifts all
            ranks alike.
        cut_noise: with `cut`, sd between seeds of the difference to the uncut adapter, as a share of that difference.
    """
    ladder = tuple(sorted(set(losses) | set(failures or {})))
    top = ladder[-1] if ladder_by == "cut" else None
    mean_scores = {rank: max(0.0, 0.95 - 0.2 * loss) for rank, loss in {0: base_loss or 4.0, **losses}.items()}
    mean_scores |= scores or {}
    draw = np.random.default_rng(7)
    tokens = draw.integers(2, 7, examples)
    hardness = _centred(draw.normal(0.0, 0.05, examples), tokens)
    tuned = [rank for rank in losses if top in (None, rank)]
    rates = {rank: _rate_choice(rank, rank in at_edge, (tried or {}).get(rank)) for rank in tuned}
    shared = _shifts(draw, seeds, seed_noise) if top is not None else np.zeros(seeds)
    trials: list[TrialRecord] = []
    for rank in ladder:
        rate = rates.get(top or rank)
        recipe = arm(rank, learning_rate=rate.learning_rate if rate else 2e-3)
        shifts = _shifts(draw, seeds, seed_noise)
        if top is not None:
            recipe = replace(recipe, cut_from=None if rank == top else top)
            off = losses.get(rank, 0.0) - losses.get(top, 0.0)
            shifts = shared + _shifts(draw, seeds, cut_noise * abs(off))
        for seed in range(seeds):
            spec = _spec(Stage.CERTIFY, Split.CERTIFY, recipe, seed)
            if rank in (failures or {}):
                ended = replace(result(recipe, None, *(failures or {})[rank]), spec=spec)
                trials.append(TrialRecord(len(trials) + 1, ended, f"run-r{rank}-s{seed}"))
                continue
            per_token = (
                losses[rank] + shifts[seed] + hardness + _centred(draw.normal(0, example_noise, examples), tokens)
            )
            answered = np.clip(mean_scores[rank] + _centred(draw.uniform(-0.01, 0.01, examples)), 0.0, 1.0)
            trials.append(
                _scored(len(trials) + 1, spec, per_token * tokens, tokens, answered if answers else None, metric)
            )
    base = None
    if base_loss is not None:
        spec = _spec(Stage.BASE, Split.CERTIFY, None, 0)
        answered = np.full(examples, mean_scores[0])
        base = _scored(-1, spec, (base_loss + hardness) * tokens, tokens, answered if answers else None, metric)
    explored = [result(arm(rank), loss) for rank, loss in losses.items()]
    declaration = Declaration(ladder, seeds, margin, margin_of, alpha, ladder_by)
    tested = [(0, base_loss)] * (base_loss is not None) + [(rank, losses[rank]) for rank in final]
    record = study_record([_named_metric(trial, metric) for trial in explored], base_loss)
    return replace(
        record,
        metric=metric,
        base=replace(record.base, result=_named_metric(record.base.result, metric)) if record.base else None,
        declaration=declared or declaration,
        certification=Certification(
            declared=declaration,
            recipe=arm(max(losses, default=8)),
            rates=tuple(rates.values()),
            tuning=tuple(
                TrialRecord(number, _tuning(choice.rank, rate, loss), f"run-rate-{number}")
                for number, (choice, rate, loss) in enumerate(
                    ((choice, rate, loss) for choice in rates.values() for rate, loss in choice.tried), start=1
                )
            ),
            tokens=tuple(int(count) for count in tokens),
            base=base,
            trials=tuple(trials),
            looks=tuple(looks) or (seeds,),
            stopped=stopped,
            final=tuple(
                TrialRecord(number, _on_test(rank, loss, mean_scores[rank], metric, top), f"run-test-{rank}")
                for number, (rank, loss) in enumerate(tested if final else [], start=1)
            ),
        ),
    )


def cut_record(losses: Mapping[int, float] = CUT_LOSSES, **about: Any) -> StudyRecord:
    """A certified study whose ladder is cut, by default with `CUT_LOSSES`, of which rank 4 is enough; see `certified_record`."""
    usual = {"base_loss": 2.956, "seeds": 4, "seed_noise": 0.06, "margin": 0.02, "ladder_by": "cut"}
    return certified_record(losses, **{**usual, **about})


def _shifts(draw: np.random.Generator, seeds: int, sd: float) -> np.ndarray:
    """One shift per seed, with mean zero and exactly this sd."""
    shifts = _centred(draw.normal(0.0, 1.0, seeds))
    return shifts * (sd / shifts.std(ddof=1) if seeds > 1 else 0.0)


def _centred(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return values - np.average(values, weights=weights)


def _spec(stage: Stage, split: Split, recipe: Arm | None, seed: int) -> TrialSpec:
    cut = f"of{recipe.cut_from}" if recipe is not None and recipe.cut_from is not None else ""
    identity = f"{stage.value}-{split.value}-r{recipe.rank if recipe else 0}{cut}-s{seed}"
    return TrialSpec(identity, "made", stage, recipe, TRAINING, seed, split=split)


def _scored(
    number: int,
    spec: TrialSpec,
    nats: np.ndarray,
    tokens: np.ndarray,
    answered: np.ndarray | None,
    metric: str,
) -> EvaluatedTrial:
    ended = replace(result(spec.arm, float(nats.sum() / tokens.sum())), spec=spec)
    assert ended.measures is not None
    metrics = {} if answered is None else {metric: float(answered.mean())}
    ended = replace(
        ended, measures=replace(ended.measures, metrics=metrics, examples=len(nats), tokens=int(tokens.sum()))
    )
    if spec.arm is not None and spec.arm.cut_from is not None:
        ended = _cut(ended, energy_kept=1 - 0.28 / spec.rank)
    name = f"run-r{spec.rank}-s{spec.seed}"
    scores = () if answered is None else tuple(float(value) for value in answered)
    return EvaluatedTrial(number, ended, name, tuple(float(value) for value in nats), scores)


def _cut(ended: TrialResult, energy_kept: float) -> TrialResult:
    """As the runner records a cut adapter: training figures are those of the adapter it is cut from, seconds are its own."""
    assert ended.measures is not None
    phases = {"cut": 0.3, "score": 2.0}
    return replace(
        ended, seconds=2.3, measures=replace(ended.measures, energy_kept=energy_kept, phases=phases, train_seconds=20.0)
    )


def _rate_choice(rank: int, at_edge: bool, tried: Sequence[tuple[float, float]] | None) -> RateChoice:
    """The best of the rates; one at the edge is the highest."""
    pairs = tuple(
        sorted(
            tried or ([(1e-3, 0.5), (2e-3, 0.4), (4e-3, 0.3)] if at_edge else [(1e-3, 0.4), (2e-3, 0.3), (4e-3, 0.4)])
        )
    )
    return RateChoice(rank, min(pairs, key=lambda pair: pair[1])[0], pairs, at_edge)


def _tuning(rank: int, rate: float, loss: float) -> TrialResult:
    recipe = arm(rank, learning_rate=rate)
    ended = replace(result(recipe, loss), spec=replace(_spec(Stage.RATES, Split.TUNE, recipe, 0), answers=False))
    assert ended.measures is not None
    return replace(ended, measures=replace(ended.measures, metrics={}))


def _on_test(rank: int, loss: float | None, score: float, metric: str, top: int | None) -> TrialResult:
    recipe = replace(arm(rank), cut_from=None if rank == top else top) if rank else None
    spec = _spec(Stage.FINAL if rank else Stage.BASE, Split.TEST, recipe, 0)
    of = _spec(Stage.CERTIFY, Split.CERTIFY, recipe, 0).identity if rank else None
    ended = replace(result(recipe, loss), spec=replace(spec, adapter_of=of))
    assert ended.measures is not None
    right = (True, True, True, False) if rank == 0 else (True, False, True, False)
    return replace(ended, measures=replace(ended.measures, metrics={metric: score}, general_right=right))


def _named_metric(ended: TrialResult, metric: str) -> TrialResult:
    if ended.measures is None or metric == "accuracy":
        return ended
    return replace(ended, measures=replace(ended.measures, metrics={metric: ended.measures.metrics["accuracy"]}))
