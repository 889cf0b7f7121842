"""Trains and scores adapters side by side on one base, and keeps what was done in a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sweep.records import Arm, Split, Stage, StudyPlan, TrialSpec
from sweep.runner.setup import LoadedSetup
from sweep.training.packed.adapter import Host
from sweep.training.packed.engine import PackedEngine
from sweep.training.packed.evaluator import packed_losses
from sweep.training.packed.lora import LoraAdapter
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import Slot

Nats = NDArray[np.float64]
"""The loss of each example, in nats, summed over its completion."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """The matrices of a LoRA adapter.

    Attributes:
        scale: factor of the update.
        matrices: A, shape (rank, in_features), and B, shape (out_features, rank), by module; ranks may differ between modules.
    """

    scale: float
    matrices: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    def slot(self, pack: Pack, device: torch.device) -> LoraAdapter:
        """A copy for passes of the pack, at the largest rank of the modules."""
        rank = max(1, *(down.shape[0] for down, _ in self.matrices.values()))
        arm = Arm(rank, self.scale, 0.0, tuple(sorted(self.matrices)), 0.0)
        slot = LoraAdapter(arm, Host(pack.shapes, device))
        _fill(slot, self)
        return slot


@dataclass(frozen=True, slots=True)
class Job:
    """One training.

    Attributes:
        name: what the adapter is kept under.
        seed: of the data order and the initial weights.
        start: weights to continue from, with a fresh optimizer; None for the usual initial weights.
    """

    name: str
    arm: Arm
    seed: int
    steps: int
    start: Adapter | None = None


class Workshop:
    """Trains and scores on a loaded setup. What the folder has under a name is not done again.

    Attributes:
        seconds: CPU seconds of the process per adapter, by what was done; kept in the folder too.

    Args:
        side: number of adapters that are trained, or scored, side by side.

    Raises:
        SystemExit: the base cannot be packed.
    """

    def __init__(self, plan: StudyPlan, loaded: LoadedSetup, folder: Path, side: int) -> None:
        engine = loaded.engine.for_arm(None)
        if not isinstance(engine, PackedEngine):
            raise SystemExit(f"the base cannot be packed: {loaded.description.note}")
        self.plan, self.loaded, self.pack = plan, loaded, engine.pack
        self._folder, self._side = folder, side
        folder.mkdir(parents=True, exist_ok=True)
        self._seconds_file = folder / "seconds.json"
        self.seconds: dict[str, float] = (
            json.loads(self._seconds_file.read_text()) if self._seconds_file.exists() else {}
        )
        self._losses_file = folder / "losses.json"
        self._losses = json.loads(self._losses_file.read_text()) if self._losses_file.exists() else {}

    def arm(self, rank: int, rate: float, alpha_ratio: float | None = None) -> Arm:
        """The plan's arm with another rank and learning rate."""
        return replace(
            self.plan.arm, rank=rank, learning_rate=rate, alpha_ratio=alpha_ratio or self.plan.arm.alpha_ratio
        )

    def tokens(self, split: Split) -> NDArray[np.float64]:
        """Number of completion tokens of each example."""
        return np.array([len(item.completion) for item in self.loaded.data.examples(split)], dtype=float)

    @contextmanager
    def timed(self, what: str, adapters: int = 1) -> Iterator[None]:
        """Context whose CPU seconds, divided by a number of adapters, are kept under a name."""
        start = time.process_time()
        yield
        self.seconds[what] = round((time.process_time() - start) / max(1, adapters), 2)
        self._seconds_file.write_text(json.dumps(self.seconds))

    def train(self, jobs: Sequence[Job], what: str = "training") -> dict[str, Adapter]:
        """The adapters of these jobs, by name."""
        waiting = [job for job in jobs if not self._file(job.name).exists()]
        for first in range(0, len(waiting), self._side):
            together = waiting[first : first + self._side]
            with self.timed(what, len(together)):
                self._train_together(together)
            print(f"trained {min(first + self._side, len(waiting))} of {len(waiting)} ({what})", flush=True)
        return {job.name: Adapter(*torch.load(self._file(job.name))) for job in jobs}

    def _train_together(self, jobs: Sequence[Job]) -> None:
        slots = [self._slot(job) for job in jobs]
        while any(slot.is_training for slot in slots):
            self.pack.step(lambda slot, step: None)
        for job, slot in zip(jobs, slots, strict=True):
            self.pack.remove(slot)
            if slot.ended:
                raise SystemExit(f"{job.name}: {slot.ended}")
            adapter = slot.adapter
            assert isinstance(adapter, LoraAdapter)
            matrices = {
                name: (adapter.down[name].detach().clone(), adapter.up[name].detach().clone()) for name in adapter.down
            }
            torch.save((adapter.scale, matrices), self._file(job.name))

    def _slot(self, job: Job) -> Slot:
        training = replace(self.plan.training, steps=job.steps)
        slot = self.pack.add(TrialSpec("", job.name, Stage.SINGLE, job.arm, training, job.seed), self.loaded.train)
        if job.start is not None:
            _fill(slot.adapter, job.start)
        return slot

    def losses(
        self, adapters: Mapping[str, Callable[[], Adapter | None]], split: Split = Split.CERTIFY
    ) -> dict[str, Nats]:
        """The loss of each example under each adapter, by name; an adapter is made only if its losses are not known."""
        examples = self.loaded.data.examples(split)
        waiting = [name for name in adapters if f"{split.value}/{name}" not in self._losses]
        for first in range(0, len(waiting), self._side):
            names = waiting[first : first + self._side]
            slots = [self._adapter(adapters[name]()) for name in names]
            with self.timed(f"scoring on {split.value}", len(names)):
                scored = packed_losses(self.loaded.base, self.pack, slots, examples)
            for name, losses in zip(names, scored, strict=True):
                self._losses[f"{split.value}/{name}"] = [round(one.nats, 5) for one in losses]
            self._losses_file.write_text(json.dumps(self._losses))
            print(f"scored {names[0]} ... {names[-1]}", flush=True)
        return {name: np.array(self._losses[f"{split.value}/{name}"]) for name in adapters}

    def loss(self, nats: Nats, split: Split = Split.CERTIFY) -> float:
        """Nats per token."""
        return float(nats.sum() / self.tokens(split).sum())

    def _adapter(self, adapter: Adapter | None) -> LoraAdapter | None:
        if adapter is None:
            return None
        slot = adapter.slot(self.pack, self.loaded.base.device)
        slot.drop_gradients()
        return slot

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pt"


def _fill(slot: LoraAdapter, adapter: Adapter) -> None:
    """Copies the matrices; rows and columns beyond a module's own rank stay zero."""
    with torch.no_grad():
        for name, (down, up) in adapter.matrices.items():
            slot.down[name][: down.shape[0]].copy_(down)
            slot.up[name][:, : up.shape[1]].copy_(up)
