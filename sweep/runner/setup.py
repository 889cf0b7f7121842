"""A worker's setup, loaded once: data, base model and engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.evaluation.data import EvaluationData
from sweep.records import ArmSize, CapacityRequest, LoadReport, Provenance, WorkerSetup
from sweep.runner.requirements import Requirements
from sweep.store.paths import Paths
from sweep.training import memory
from sweep.training.base_model import LoadedBase, load_base, open_base
from sweep.training.device_errors import naming_lack_of_memory
from sweep.training.encoding import Encoded, Encoder, mean_tokens
from sweep.training.engine import Engine
from sweep.training.engines import open_engines
from sweep.training.machine import device_name, pick_device, versions
from sweep.training.quantization import compute_note, dtype_name
from sweep.training.splits import load_splits

_SAMPLE = 3
"""Training examples that are passed through the model packed and plain, to see whether it can be packed."""


@dataclass(frozen=True, slots=True)
class LoadedSetup:
    """What all trials of a worker share.

    Attributes:
        setup: with the quantization of this worker's base.
        train: the training examples that fit; with `train.replay` general text among them (`Encoded.replayed`).
        description: what the worker reports to its parent.
    """

    setup: WorkerSetup
    paths: Paths
    base: LoadedBase
    engine: Engine
    train: Sequence[Encoded]
    data: EvaluationData
    description: LoadReport

    def provenance(self) -> Provenance:
        """Where the figures of a trial come from."""
        return Provenance(
            versions=versions(),
            device=self.description.device,
            base_source=self.description.source,
            base_hash=self.description.base_hash,
            data_hash=self.description.data_hash,
            threads=self.setup.threads,
            process=os.getpid(),
            compute=dtype_name(self.base.compute),
        )


def load_setup(
    setup: WorkerSetup,
    paths: Paths,
    capacity_request: CapacityRequest | None = None,
    requirements: Requirements | None = None,
) -> LoadedSetup:
    """Loads data and base model and opens the engine.

    Args:
        capacity_request: asks how many trials can be trained side by side, see `LoadReport.capacity`; None does not ask.
        requirements: what base and data must be.

    Raises:
        ConfigurationError, DataError, EnvironmentLacks: they cannot be loaded, or are not what is required.
    """
    requirements = requirements or Requirements()
    setup = setup.with_quant(requirements.quant)
    device = pick_device(setup.device)
    memory.check_measurable(device)
    splits = load_splits(setup.task, paths)
    requirements.check_data(splits.data_hash)
    # the weights come last: examples that do not fit are reported without waiting for them
    opened = open_base(setup.model, paths)
    encoder = Encoder(opened.tokenizer, setup.task.system_prompt)
    longest = min(setup.task.max_length, opened.context)
    task = setup.task
    train = encoder.encode_split(splits.train, longest, task.too_long)
    trained = (*train.examples, *encoder.passages(splits.replay, longest))
    data = EvaluationData(splits, encoder, longest, setup.scoring, task.metric, train.examples, task.too_long)
    fitting = {"train": len(train.examples), **data.fitting}
    requirements.check_examples(fitting, longest)
    base = load_base(setup.model, setup.quant, paths, setup.memory_budget, opened, device)
    requirements.check_base(base.hash)
    limit = memory.worker_limit(setup.memory_budget, setup.workers_on_device, device)
    budget = None if setup.memory_budget is None else limit
    with naming_lack_of_memory("a few examples were passed through the base model, to see whether it can be packed"):
        engine, note = open_engines(setup.engine, base, train.examples[:_SAMPLE])
    capacity = None
    if capacity_request is not None:
        capacity = engine.capacity(capacity_request, budget, trained, data.evaluated_examples())
    sizes: tuple[ArmSize, ...] = ()
    if capacity_request is not None and capacity_request.arms:
        from sweep.training.adapter_size import adapter_sizes  # PEFT's imports take a while

        sizes = tuple(adapter_sizes(base, capacity_request.arms, capacity_request.training))
    engine.auto_checkpointing = requirements.checkpointing if capacity is None else capacity.checkpointing
    description = LoadReport(
        source=base.source,
        base_hash=base.hash,
        base_bytes=base.bytes,
        resident_bytes=base.resident,
        linear_modules=base.linear_modules,
        context=base.context,
        parameters=base.parameters,
        load_seconds=base.load_seconds,
        device=device_name(base.device),
        data_hash=splits.data_hash,
        train_hash=splits.train_hash,
        too_long={"train": train.too_long, **data.too_long},
        shortened={"train": len(train.shortened), **data.shortened},
        tokens={
            "train": mean_tokens(train.examples),
            "replay": mean_tokens([item for item in trained if item.replayed]),
            "certify": data.certify_tokens,
        },
        examples=fitting,
        note="; ".join(filter(None, (base.note, note, compute_note(base.compute, base.device)))) or None,
        capacity=capacity,
        arm_sizes=sizes,
    )
    if limit is not None:
        memory.limit_memory(limit, base.device)
    return LoadedSetup(setup, paths, base, engine, trained, data, description)
