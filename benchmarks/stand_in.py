"""A worker that answers at once: the other end of the pipe for what measures everything but training.

It says what a worker says (progress of every step, reports, how the trial ended) and leaves what a worker leaves (the trial's
folder with scores, configuration and a small adapter); only the figures are made up, from the arm and the seed alone.
"""

from __future__ import annotations

import json
import math
import random
from multiprocessing.connection import Connection
from pathlib import Path

from sweep.records import (
    Arm,
    CapacityRequest,
    ExampleOutcome,
    LoadReport,
    Measures,
    Provenance,
    Report,
    Status,
    StepLoss,
    TrainedAdapter,
    TrialResult,
    TrialSpec,
    WorkerSetup,
    to_json,
)
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.workers.messages import Decision, LossReport, Progress, RunTrial, TrialEnd, WorkerReady
from tasks import Example

EXAMPLES = 32
_EXAMPLES = tuple(Example(prompt=f"prompt {number}", completion="yes") for number in range(EXAMPLES))
BASE_BYTES = 100_000_000
_ADAPTER_BYTES = 8_192
_VERSIONS = dict.fromkeys(("torch", "transformers", "peft", "bitsandbytes", "datasets"), "made up")
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def main(
    connection: Connection,
    setup: WorkerSetup,
    root: str,
    log: str,
    parent: int,
    capacity_request: CapacityRequest | None = None,
    *expected: object,
) -> None:
    """Serves trials until the parent hangs up, one at a time; called as `sweep.workers.child.main` is."""
    store = TrialStore(Paths(Path(root)))
    connection.send(WorkerReady(_loaded()))
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return
        if isinstance(message, RunTrial):
            connection.send(TrialEnd(_answer(connection, store, setup, message.spec)))


def loss_of(arm: Arm | None, seed: int) -> float:
    """Invented: a valley around rank 16 with its own learning rate, and noise between seeds; a cut costs less than both."""
    if arm is None:
        return 2.8
    if arm.cut_from is not None:
        return loss_of(arm.parent, seed) + 0.001 * math.log2(arm.cut_from / arm.rank)
    noise = random.Random(f"{arm} {seed}").gauss(0, 0.004)  # noqa: S311 (no secret)
    return 0.2 + abs(math.log2(arm.rank) - 4) / 50 + abs(math.log10(arm.learning_rate / 3e-3)) / 5 + noise


def _loaded() -> LoadReport:
    return LoadReport(
        source="made",
        base_hash="b" * 64,
        base_bytes=BASE_BYTES,
        resident_bytes=2 * BASE_BYTES,
        linear_modules=tuple(f"model.layers.0.{name}" for name in _MODULES),
        context=2048,
        parameters=1_000_000,
        load_seconds=0.0,
        device="none",
        data_hash="d" * 64,
        too_long={},
        examples=dict.fromkeys(("train", "tune", "certify", "test"), EXAMPLES),
    )


def _answer(connection: Connection, store: TrialStore, setup: WorkerSetup, spec: TrialSpec) -> TrialResult:
    loss, count = loss_of(spec.arm, spec.seed), min(EXAMPLES, spec.examples or EXAMPLES)
    history: list[StepLoss] = []
    reports: list[Report] = []
    for step in range(1, spec.training.steps + 1) if spec.arm is not None else ():
        history.append(StepLoss(step, loss + 2.0 / step, 1e-3))
        connection.send(Progress(spec.identity, "train", step, spec.training.steps, history[-1].loss))
        if spec.report_every and step % spec.report_every == 0 and step < spec.training.steps:
            reports.append(Report(step, history[-1].loss))
            connection.send(LossReport(spec.identity, step, history[-1].loss))
            decision = connection.recv()
            if isinstance(decision, Decision) and decision.prune:
                return TrialResult(
                    spec, Status.PRUNED, "trailed", history=tuple(history), reports=tuple(reports), started=1.7e9
                )
    result = TrialResult(
        spec,
        Status.COMPLETE,
        measures=_measures(setup, spec, loss, count),
        history=tuple(history),
        reports=tuple(reports),
        started=1.7e9,
        seconds=1.0,
        provenance=Provenance(_VERSIONS, "none", "made", "b" * 64, "d" * 64, setup.threads),
    )
    if spec.arm is not None and spec.adapter_of is None:
        leave_adapter(store.adapters, spec, result)
    store.save(result, setup, _EXAMPLES[:count], (ExampleOutcome(4 * loss, 4, "no", 0.5),) * count)
    return result


def leave_adapter(store: AdapterStore, spec: TrialSpec, result: TrialResult) -> None:
    """Stores a small made-up adapter for the trial."""
    assert spec.arm is not None
    assert result.provenance is not None
    trained = TrainedAdapter(
        identity=spec.adapter_id,
        arm=spec.arm,
        training=spec.training,
        seed=spec.seed,
        peak_bytes=3 * BASE_BYTES,
        peak_of="training",
        parameters=spec.rank * 1_000,
        bytes=_ADAPTER_BYTES,
        tokens=100,
        started=result.started,
        seconds=result.seconds,
        provenance=result.provenance,
        history=result.history,
        reports=result.reports,
    )
    with store.writing(spec.adapter_id) as scratch:
        (scratch / ADAPTER).mkdir()
        (scratch / ADAPTER / "adapter_config.json").write_text(json.dumps(to_json(spec.arm)))
        (scratch / ADAPTER / "adapter_model.safetensors").write_bytes(bytes(_ADAPTER_BYTES))
        store.commit(scratch, trained)


def _measures(setup: WorkerSetup, spec: TrialSpec, loss: float, examples: int) -> Measures:
    parameters = spec.rank * 1_000
    return Measures(
        loss=loss,
        metrics={setup.task.metric: max(0.0, 0.9 - loss / 3)},
        examples=examples,
        tokens=4 * examples,
        peak_bytes=3 * BASE_BYTES,
        peak_above_base_bytes=BASE_BYTES,
        base_bytes=BASE_BYTES,
        adapter_bytes=_ADAPTER_BYTES if spec.arm else 0,
        trainable_parameters=parameters,
        trainable_fraction=parameters / (1_000_000 + parameters),
        train_seconds=1.0,
        eval_seconds=0.5,
        tokens_per_second=100.0,
        train_loss=loss,
        general_loss=3.0,
        forgetting_loss_delta=0.01,
        phases={"train": 1.0, "score": 0.5},
    )
