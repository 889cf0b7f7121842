"""The pack: slots that train side by side, each with its own adapter, data, schedule and optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import Cache, get_scheduler

from sweep.errors import TrialDiverged, TrialEnded
from sweep.records import StepLoss, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.batches import training_examples
from sweep.training.encoding import Encoded
from sweep.training.gradient_check import GradientCheck
from sweep.training.packed.adapter import SlotAdapter, SlotAdapters, SlotRows
from sweep.training.packed.attention import laid_out, use_packed_attention
from sweep.training.packed.layout import Layout, lay_out
from sweep.training.quantization import check_trainable_format


@dataclass
class Slot:
    """One trial in the pack.

    Attributes:
        step: optimizer steps taken.
        ended: why it can go no further, once it cannot; its neighbours go on.
    """

    spec: TrialSpec
    adapter: SlotAdapter
    ordered: Sequence[Encoded]
    optimizer: AdamW
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0
    ended: TrialEnded | None = None
    check: GradientCheck = field(default_factory=GradientCheck)

    @property
    def open(self) -> bool:
        """Whether it has steps left to take."""
        return self.ended is None and self.step < self.spec.training.steps

    @property
    def bytes(self) -> int:
        """Memory of the adapter, its gradients and AdamW's two moments."""
        return 4 * sum(vector.nbytes for vector in self.adapter.vectors)

    def batches(self) -> list[Sequence[Encoded]]:
        """The batches of the next step: as many as gradients are accumulated over."""
        recipe = self.spec.training
        size = recipe.batch_size
        first = self.step * recipe.gradient_accumulation
        return [
            self.ordered[number * size : (number + 1) * size]
            for number in range(first, first + recipe.gradient_accumulation)
        ]


@dataclass(frozen=True, slots=True)
class SlotBatch:
    """What a slot brings to one pass.

    Attributes:
        tokens: predictions of its whole step, over which its loss is the mean.
        dropout: see `SlotRows.dropout`.
    """

    adapter: SlotAdapter
    batch: Sequence[Encoded]
    tokens: int
    dropout: str | None = None


class Pack:
    """Slots on one base. A trial's losses and adapter do not depend on its neighbours: no arithmetic mixes their rows.

    Raises:
        ValueError: the model cannot be packed; the text says why.
    """

    def __init__(self, base: LoadedBase) -> None:
        use_packed_attention(base.model)
        self._base = base
        self.shapes = linear_shapes(base)
        self.adapters = SlotAdapters(base.model, tuple(self.shapes))
        self.slots: list[Slot] = []
        # renamed in transformers 5.23
        self._cache_name = "cache" if "cache" in inspect.signature(base.model.forward).parameters else "past_key_values"

    def add(self, spec: TrialSpec, examples: Sequence[Encoded]) -> Slot:
        """Gives a trial a slot; it takes part from the next step on.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        recipe, arm = spec.training, spec.arm
        if arm is None:
            raise ValueError("the unadapted base is not trained")
        check_trainable_format(self._base.model)
        adapter = SlotAdapter(arm, self.shapes, self._base.device)
        adapter.draw(spec.seed)
        optimizer = _adamw(adapter, recipe.weight_decay)
        schedule = get_scheduler(
            recipe.schedule, optimizer, math.ceil(recipe.warmup_fraction * recipe.steps), recipe.steps
        )
        slot = Slot(spec, adapter, training_examples(examples, recipe, spec.seed), optimizer, schedule)
        self.slots.append(slot)
        return slot

    def remove(self, slot: Slot) -> None:
        """Frees the slot."""
        self.slots.remove(slot)

    def step(self, then: Callable[[Slot, StepLoss], None]) -> None:
        """One optimizer step of every open slot.

        Args:
            then: told each slot's loss (nats a completion token) after its step; `TrialEnded` from it ends that slot.
        """
        going = [slot for slot in self.slots if slot.open]
        losses = self._gradients(going)
        for slot, loss in zip(going, losses, strict=True):
            try:
                then(slot, self._update(slot, loss))
            except TrialEnded as ended:
                slot.ended = ended

    @contextmanager
    def passing(self, layout: Layout, shares: Sequence[SlotRows], cache: Cache | None = None) -> Iterator[torch.Tensor]:
        """A pass over the base, within which its backward pass must take place too.

        Args:
            cache: keys and values of earlier rows, to which those of this one are added; `layout.keys` are places in it.

        Yields the logits of each prediction, shape (predictions, vocabulary), in fp32. The output head sees no other token.
        """
        with laid_out(layout), self.adapters.worn(shares):
            output = self._base.model(
                input_ids=layout.ids[None],
                position_ids=layout.positions[None],
                logits_to_keep=layout.kept,
                use_cache=cache is not None,
                **({self._cache_name: cache} if cache is not None else {}),
            )
            yield output.logits[0].float()

    def accumulate(self, taking: Sequence[SlotBatch]) -> list[float]:
        """Adds the gradients of each slot's mean loss; returns the summed nats of each slot's predictions."""
        layout = lay_out([each.batch for each in taking]).to(self._base.device)
        shares = [
            SlotRows(each.adapter, rows, each.dropout) for each, rows in zip(taking, layout.slot_tokens, strict=True)
        ]
        self._base.model.train()
        with torch.enable_grad(), self.passing(layout, shares) as logits:
            nats = functional.cross_entropy(logits, layout.labels, reduction="none")
            parts = [part.sum() for part in nats.split(predictions(layout))]
            # the sum of the slots' own mean losses: no slot's gradient holds anything of another
            total = torch.stack([part / each.tokens for each, part in zip(taking, parts, strict=True)]).sum()
            total.backward()
        return [float(part) for part in torch.stack(parts).detach()]

    def _gradients(self, going: Sequence[Slot]) -> list[float]:
        """Gradients of each slot's mean loss over its step's tokens; returns the losses."""
        batches = [slot.batches() for slot in going]
        tokens = [sum(len(item.completion) for batch in own for item in batch) for own in batches]
        summed = [0.0] * len(going)
        for slot in going:
            slot.adapter.zero_gradients()
        self.checkpoint(wanted=any(slot.spec.training.gradient_checkpointing for slot in going))
        for number in range(max((len(own) for own in batches), default=0)):
            places = [place for place, own in enumerate(batches) if number < len(own)]
            taking = [
                SlotBatch(going[place].adapter, batches[place][number], tokens[place], _stream(going[place], number))
                for place in places
            ]
            for place, part in zip(places, self.accumulate(taking), strict=True):
                summed[place] += part
        return [part / count for part, count in zip(summed, tokens, strict=True)]

    def checkpoint(self, *, wanted: bool) -> None:
        """Turns gradient checkpointing on or off."""
        model: Any = self._base.model
        if wanted != bool(model.is_activation_checkpointing):
            if wanted:
                model.activation_checkpointing_enable({"use_reentrant": False})
            else:
                model.activation_checkpointing_disable()

    def _update(self, slot: Slot, loss: float) -> StepLoss:
        if not math.isfinite(loss):
            raise TrialDiverged(f"diverged: the training loss was {loss} at step {slot.step + 1}")
        slot.check.after_backward(slot.adapter.matrices(), slot.step + 1)
        clip_grad_norm_(slot.adapter.vectors, slot.spec.training.max_grad_norm)
        rate = float(slot.schedule.get_last_lr()[0])
        slot.optimizer.step()
        slot.schedule.step()
        slot.step += 1
        if slot.step == slot.spec.training.steps:
            slot.check.finish()
        return StepLoss(slot.step, loss, rate)


def _adamw(adapter: SlotAdapter, weight_decay: float) -> AdamW:
    """AdamW of A and B together; in LoRA+ of each on its own, A's first, with one schedule for both."""
    arm = adapter.arm
    if arm.loraplus_lr_ratio == 1:
        return AdamW(adapter.vectors, lr=arm.learning_rate, weight_decay=weight_decay, fused=True)
    all_a, all_b = adapter.vectors
    groups: list[dict[str, Any]] = [
        {"params": [all_a]},
        {"params": [all_b], "lr": arm.learning_rate * arm.loraplus_lr_ratio},
    ]
    return AdamW(groups, lr=arm.learning_rate, weight_decay=weight_decay, fused=True)


def linear_shapes(base: LoadedBase) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each linear module that can carry an adapter."""
    shapes = {}
    for name in base.linear_modules:
        module: Any = base.model.get_submodule(name)
        if hasattr(module, "in_features"):
            shapes[name] = (int(module.in_features), int(module.out_features))
        else:  # transformers' Conv1D holds its weight transposed
            shapes[name] = (int(module.weight.shape[0]), int(module.weight.shape[1]))
    return shapes


def predictions(layout: Layout) -> list[int]:
    """How many predictions each slot has."""
    counts, begun = [], 0
    for examples in layout.slot_examples:
        counts.append(sum(layout.completions[begun : begun + examples]))
        begun += examples
    return counts


def _stream(slot: Slot, number: int) -> str:
    return f"{slot.spec.seed} step {slot.step} pass {number}"
