"""The pack: slots trained side by side, each with its own adapter, data, schedule and optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from transformers import Cache, get_scheduler

from sweep.errors import TrialDiverged, TrialEnded
from sweep.records import Arm, StepLoss, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.batches import row_weights, training_examples
from sweep.training.decay import first_values
from sweep.training.encoding import Encoded
from sweep.training.gradient_check import largest_gradients
from sweep.training.initial_values import Initializer
from sweep.training.packed.adapter import Host, SlotAdapter
from sweep.training.packed.attention import Given, packed_attention, use_packed_attention
from sweep.training.packed.gated import use_blocks
from sweep.training.packed.hooks import AdapterHooks, SlotRows
from sweep.training.packed.kinds import load_slot_adapter, new_adapter
from sweep.training.packed.layout import NONE_VIRTUAL, Layout, floats_to_device, lay_out
from sweep.training.packed.output_head import OutputHead, Predictions
from sweep.training.packed.slot import Slot, SlotBatch, adamw_of
from sweep.training.packed.virtual_tokens import embeddings, keys_and_values
from sweep.training.quantization import check_trainable_format, evaluating


class Pack:
    """Slots on one base. A trial's losses and adapter do not depend on other slots: no operation mixes their rows.

    Attributes:
        shapes: (in_features, out_features) of each linear module that an adapter can target, by full name.
        auto_checkpointing: see `sweep.training.engine.Engine`.

    Raises:
        ValueError: the model cannot be packed; the text says why.
    """

    def __init__(self, base: LoadedBase) -> None:
        use_packed_attention(base.model)
        use_blocks(base.model)
        self._base = base
        self.shapes = linear_shapes(base)
        model: Any = base.model
        self._dtype: torch.dtype = model.dtype
        self._hooks = AdapterHooks(model, self.shapes, base.device, self._dtype)
        self._host = Host(self.shapes, base.device, self._hooks.stacked, model)
        self.slots: list[Slot] = []
        self.auto_checkpointing = False
        self._head = OutputHead(base.model)
        self._initializer = Initializer(base)
        # transformers 5.23 renamed the argument
        self._cache_name = "cache" if "cache" in inspect.signature(base.model.forward).parameters else "past_key_values"

    def add(self, spec: TrialSpec, examples: Sequence[Encoded]) -> Slot:
        """Adds a slot for a trial; it trains from the next step on.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        recipe, arm = spec.training, spec.arm
        if arm is None:
            raise ValueError("the unadapted base is not trained")
        check_trainable_format(self._base.model)
        adapter = self.adapter(arm)
        # otherwise PEFT, where it makes the first weights, would leave a hook for it on the base
        self.use_gradient_checkpointing(wanted=False)
        adapter.initialize(spec.seed, self._initializer.starts(arm, spec.seed, examples))
        optimizer = adamw_of(adapter, recipe.weight_decay)
        schedule = get_scheduler(
            recipe.schedule, optimizer, math.ceil(recipe.warmup_fraction * recipe.steps), recipe.steps
        )
        slot = Slot(spec, adapter, training_examples(examples, recipe, spec.seed), optimizer, schedule)
        if recipe.decay_to_base:
            slot.first = first_values(optimizer)
        self.slots.append(slot)
        return slot

    def adapter(self, arm: Arm) -> SlotAdapter:
        """An adapter for this base, zero, laid out as the pack's products read it.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        return new_adapter(arm, self._host)

    def without_memory(self, arm: Arm) -> SlotAdapter:
        """An adapter without numbers, for its sizes.

        Raises:
            ConfigurationError: a target module does not exist.
        """
        return new_adapter(arm, replace(self._host, device=torch.device("meta")))

    def load(self, folder: Path) -> SlotAdapter:
        """A saved adapter; see `load_slot_adapter`."""
        return load_slot_adapter(folder, self._host)

    def lay_out(self, adapters: Sequence[SlotAdapter | None], batches: Sequence[Sequence[Encoded]]) -> Layout:
        """The row of one batch for each adapter; None stands for the base alone."""
        virtual = [NONE_VIRTUAL if adapter is None else adapter.virtual for adapter in adapters]
        return lay_out(batches, self._base.device, virtual if any(own.count for own in virtual) else None)

    def give(self, cache: Cache, adapters: Sequence[SlotAdapter | None]) -> None:
        """Puts the given keys and values of adapters into an empty cache, where layouts of these adapters expect them."""
        for layer, states in enumerate(keys_and_values(adapters, self._dtype)):
            keys, values = (each.transpose(0, 1)[None] for each in states)  # (1, key heads, given tokens, head_dim)
            cache.update(keys, values, layer)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context for passes between which no adapter changes; see `quantization.evaluating`."""
        with evaluating(self._base.model), self._hooks.fixed():
            yield

    def remove(self, slot: Slot) -> None:
        """Removes the slot."""
        self.slots.remove(slot)

    def step(self, on_step: Callable[[Slot, StepLoss], None]) -> None:
        """Takes one optimizer step in each slot that is training.

        Args:
            on_step: receives each slot's loss (nats per completion token) after its step; raises `TrialEnded` to stop
                that slot.
        """
        slots = [slot for slot in self.slots if slot.is_training]
        losses, gradients = self._compute_gradients(slots)
        for slot, loss, own in zip(slots, losses, gradients, strict=True):
            try:
                on_step(slot, self._update(slot, loss, own))
            except TrialEnded as ended:
                slot.ended = ended

    @contextmanager
    def forward(self, layout: Layout, slots: Sequence[SlotRows], cache: Cache | None = None) -> Iterator[torch.Tensor]:
        """Runs a forward pass; its backward pass must run within the context too.

        Args:
            cache: keys and values of earlier rows, to which those of this row are added; the keys of `layout` then index it.

        Yields:
            The logits of the predictions, shape (predictions, vocabulary), in fp32. Other tokens skip the output head.
        """
        with self._active(layout, slots, cache):
            yield self._outputs(layout, slots, cache).float()

    @contextmanager
    def predictions(
        self, layout: Layout, slots: Sequence[SlotRows], cache: Cache | None = None
    ) -> Iterator[Predictions]:
        """As `forward`, but where logits are large, the output head is left to `Predictions`, which computes them in chunks."""
        if not self._head.is_chunked(len(layout.labels)):
            with self.forward(layout, slots, cache) as logits:
                yield Predictions(logits, None, len(layout.labels))
            return
        with self._active(layout, slots, cache):
            with self._head.left_out():
                states = self._outputs(layout, slots, cache)
            yield Predictions(states, self._head.module, self._head.at_once)

    @contextmanager
    def _active(self, layout: Layout, slots: Sequence[SlotRows], cache: Cache | None) -> Iterator[None]:
        given: Given = ()
        if layout.given and cache is None:
            given = keys_and_values([slot.adapter for slot in slots], self._dtype)
        with packed_attention(layout, given), self._hooks.active(slots):
            yield

    def _outputs(self, layout: Layout, slots: Sequence[SlotRows], cache: Cache | None) -> torch.Tensor:
        """The model's outputs for the predictions, shape (predictions, vocabulary)."""
        inputs = {"input_ids": layout.ids[None]}
        if layout.embedded:
            inputs = {"inputs_embeds": embeddings(self._base.model, layout, [slot.adapter for slot in slots])}
        output = self._base.model(
            **inputs,
            position_ids=layout.positions[None],
            logits_to_keep=layout.kept,
            use_cache=cache is not None,
            **({self._cache_name: cache} if cache is not None else {}),
        )
        outputs: torch.Tensor = output.logits[0]
        return outputs

    def accumulate(self, slots: Sequence[SlotBatch]) -> torch.Tensor:
        """Adds the gradients of each slot's mean loss; returns each slot's loss, in nats, summed as its mean is weighted.

        It reads nothing back from the device, where the returned losses, shape (slots,), still are.
        """
        layout = self.lay_out([slot.adapter for slot in slots], [slot.batch for slot in slots])
        rows = [
            SlotRows(slot.adapter, tokens, slot.dropout) for slot, tokens in zip(slots, layout.slot_tokens, strict=True)
        ]
        self._base.model.train()
        counts = predictions_per_slot(layout)
        # in the gradient of a sum of the slots' own means, no slot's part depends on another slot
        means = [weight for slot, count in zip(slots, counts, strict=True) for weight in _weights(slot, count)]
        with torch.enable_grad(), self.predictions(layout, rows) as predictions:
            nats = predictions.backward(layout.labels, floats_to_device(means, self._base.device))
        if any(slot.weights for slot in slots):
            of_mean = [
                weight * slot.tokens if slot.weights else 1.0
                for slot, count in zip(slots, counts, strict=True)
                for weight in _weights(slot, count)
            ]
            nats = nats * floats_to_device(of_mean, self._base.device)
        return torch.stack([part.sum() for part in nats.split(counts)])

    def _compute_gradients(self, slots: Sequence[Slot]) -> tuple[list[float], list[list[float]]]:
        """Computes the gradients of each slot's mean loss over its step.

        Returns:
            The losses, and what each slot's gradient check needs. Both are read back from the device at once, at the end:
            while the host waits, it launches nothing.
        """
        batches = [slot.next_batches() for slot in slots]
        tokens = [sum(len(item.completion) for batch in own for item in batch) for own in batches]
        weights = [_step_weights(own) for own in batches]
        passes: list[tuple[list[int], torch.Tensor]] = []
        for slot in slots:
            slot.adapter.zero_gradients()
        self.use_gradient_checkpointing(
            wanted=any(slot.spec.training.uses_checkpointing(auto=self.auto_checkpointing) for slot in slots)
        )
        for number in range(max((len(own) for own in batches), default=0)):
            indices = [index for index, own in enumerate(batches) if number < len(own)]
            slot_batches = [
                SlotBatch(
                    slots[index].adapter,
                    batches[index][number],
                    tokens[index],
                    slots[index].dropout_stream(number),
                    weights[index][number] if weights[index] else None,
                )
                for index in indices
            ]
            passes.append((indices, self.accumulate(slot_batches)))
        checked = [
            [largest_gradients(slot.adapter.matrices())] if slot.gradient_check.needs(slot.step + 1) else []
            for slot in slots
        ]
        *sums, gradients = _read([*([part] for _, part in passes), [part for own in checked for part in own]])
        nats = [0.0] * len(slots)
        for (indices, _), own in zip(passes, sums, strict=True):
            for index, part in zip(indices, own, strict=True):
                nats[index] += part
        of_slot = _cut(gradients, [sum(len(part) for part in own) for own in checked])
        return [part / count for part, count in zip(nats, tokens, strict=True)], of_slot

    def use_gradient_checkpointing(self, *, wanted: bool) -> None:
        """Turns gradient checkpointing on or off."""
        model: Any = self._base.model
        if wanted != bool(model.is_activation_checkpointing):
            if wanted:
                model.activation_checkpointing_enable({"use_reentrant": False})
            else:
                model.activation_checkpointing_disable()

    def _update(self, slot: Slot, loss: float, gradients: Sequence[float]) -> StepLoss:
        if not math.isfinite(loss):
            raise TrialDiverged(f"diverged: the training loss was {loss} at step {slot.step + 1}")
        slot.gradient_check.after_backward(slot.adapter.matrices(), slot.step + 1, gradients)
        clip_grad_norm_(slot.adapter.vectors, slot.spec.training.max_grad_norm)
        rate = float(slot.schedule.get_last_lr()[0])
        slot.decay()
        slot.optimizer.step()
        slot.schedule.step()
        slot.step += 1
        if slot.step == slot.spec.training.steps:
            slot.gradient_check.finish()
        return StepLoss(slot.step, loss, rate)


def linear_shapes(base: LoadedBase) -> dict[str, tuple[int, int]]:
    """(in_features, out_features) of each linear module that an adapter can target."""
    shapes = {}
    for name in base.linear_modules:
        module: Any = base.model.get_submodule(name)
        if hasattr(module, "in_features"):
            shapes[name] = (int(module.in_features), int(module.out_features))
        else:  # transformers' Conv1D stores its weight transposed
            shapes[name] = (int(module.weight.shape[0]), int(module.weight.shape[1]))
    return shapes


def predictions_per_slot(layout: Layout) -> list[int]:
    """Number of predictions of each slot."""
    counts, start = [], 0
    for examples in layout.slot_examples:
        counts.append(sum(layout.completions[start : start + examples]))
        start += examples
    return counts


def _weights(slot: SlotBatch, count: int) -> Iterator[float]:
    """The weight of each of a slot's predictions in its mean loss."""
    if slot.weights is None:
        yield from (1 / slot.tokens for _ in range(count))
    else:
        yield from (weight for item, weight in zip(slot.batch, slot.weights, strict=True) for _ in item.completion)


def _step_weights(batches: Sequence[Sequence[Encoded]]) -> list[list[float]]:
    """The weights of the rows of each batch of a step; empty if all weigh the same."""
    weights = row_weights([item for batch in batches for item in batch])
    return [] if weights is None else _cut(weights, [len(batch) for batch in batches])


def _read(groups: Sequence[Sequence[torch.Tensor]]) -> list[list[float]]:
    """The numbers of each group of vectors, read back from the device at once."""
    vectors = [vector for group in groups for vector in group]
    numbers: list[float] = torch.cat(vectors).tolist() if vectors else []
    return _cut(numbers, [sum(len(vector) for vector in group) for group in groups])


def _cut(numbers: Sequence[float], lengths: Sequence[int]) -> list[list[float]]:
    """Parts of these lengths."""
    ends = list(accumulate(lengths))
    return [list(numbers[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
