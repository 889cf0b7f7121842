"""The output head in chunks: the losses and gradients of one product, without the logits of all predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sweep.records import TrialSpec
from sweep.training import forward
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.forward import completion_losses
from sweep.training.losses_and_answers import AnswerRule, Label
from sweep.training.packed.evaluator import evaluate
from sweep.training.packed.output_head import OutputHead
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from tests.training.conftest import encoded, examples, load_tiny, spec

__all__ = ["encoded", "examples", "load_tiny", "spec"]

AT_ONCE = 3
"""Predictions per chunk in these tests."""


@pytest.fixture
def in_chunks(load_tiny: Callable[[str], LoadedBase], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    vocabulary = load_tiny("none").model.get_output_embeddings().out_features  # type: ignore[operator]
    return lambda: monkeypatch.setattr(forward, "LOGITS_BYTES", AT_ONCE * 4 * vocabulary)


class LargestLogits(TorchDispatchMode):
    """Records the most predictions whose logits pass through one log-softmax."""

    rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._log_softmax.default:
            self.rows = max(self.rows, result.shape[0])
        return result


def gradients(
    pack: Pack, asked: list[TrialSpec], batch: list[Encoded]
) -> Iterator[tuple[float, list[torch.Tensor], int]]:
    """Each slot's loss and gradients in a pass of all, and the largest number of logits at once."""
    slots = [pack.add(each, batch) for each in asked]
    for slot in slots:
        for _, matrix in slot.adapter.matrices():
            with torch.no_grad():
                matrix.add_(0.01)
    count = sum(len(item.completion) for item in batch)
    with LargestLogits() as seen:
        losses = pack.accumulate([SlotBatch(slot.adapter, batch, count) for slot in slots]).tolist()
    for slot, loss in zip(slots, losses, strict=True):
        yield loss, [vector.grad.clone() for vector in slot.adapter.vectors if vector.grad is not None], seen.rows
        pack.remove(slot)


@pytest.mark.parametrize("quant", ["none", "nf4"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_in_chunks_has_the_losses_and_gradients_of_one_product(
    load_tiny: Callable[[str], LoadedBase],
    encoded: list[Encoded],
    spec: Callable[..., TrialSpec],
    in_chunks: Callable[[], None],
    quant: str,
    checkpointing: bool,
) -> None:
    base, asked = load_tiny(quant), [spec(4), spec(16)]
    whole = list(gradients(Pack(base), asked, encoded))
    assert whole[0][2] == 2 * sum(len(item.completion) for item in encoded) > 2 * AT_ONCE
    in_chunks()
    pack = Pack(base)
    pack.use_gradient_checkpointing(wanted=checkpointing)
    parts = list(gradients(pack, asked, encoded))
    pack.use_gradient_checkpointing(wanted=False)
    assert parts[0][2] == AT_ONCE
    for (loss, own, _), (other_loss, other, _) in zip(whole, parts, strict=True):
        assert other_loss == pytest.approx(loss, rel=1e-6)
        for one, two in zip(own, other, strict=True):
            assert float((one - two).abs().max()) <= 1e-6 * float(one.abs().max() + 1)


@pytest.mark.parametrize("labels", [False, True])
def test_evaluation_in_chunks_has_the_losses_and_answers_of_one_product(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], in_chunks: Callable[[], None], labels: bool
) -> None:
    base = load_tiny("none")
    known = tuple(Label(item.example.completion, item.completion) for item in encoded) if labels else ()
    rule = AnswerRule(4, known)
    (whole,) = evaluate(base, Pack(base), [None], encoded, rule)
    plain = completion_losses(base, base.model, encoded)
    in_chunks()
    (parts,) = evaluate(base, Pack(base), [None], encoded, rule)
    plain_parts = completion_losses(base, base.model, encoded)
    for one, two in (*zip(whole.outcomes, parts.outcomes, strict=True), *zip(plain, plain_parts, strict=True)):
        assert two.nats == pytest.approx(one.nats, rel=1e-6)
        assert getattr(one, "answer", None) == getattr(two, "answer", None)


def test_a_head_whose_logits_are_changed_afterwards_is_not_left_out(load_tiny: Callable[[str], LoadedBase]) -> None:
    model = load_tiny("none").model
    assert OutputHead(model).is_chunked(1 << 40)
    own = model.forward

    def scaled(*arguments: object, **named: object) -> object:
        output = own(*arguments, **named)
        output.logits = output.logits / 8
        return output

    model.forward = scaled
    try:
        assert not OutputHead(model).is_chunked(1 << 40)
    finally:
        model.forward = own


def test_few_predictions_go_through_the_model_as_they_are(load_tiny: Callable[[str], LoadedBase]) -> None:
    head = OutputHead(load_tiny("none").model)
    assert not head.is_chunked(head.at_once)
