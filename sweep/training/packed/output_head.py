"""The output head in chunks of predictions, so that the logits of all predictions need not exist at once.

With chunks their memory has an upper limit (`sweep.training.forward.LOGITS_BYTES`), whatever the number of slots and the length of
completions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sweep.training.forward import predictions_at_once
from sweep.training.quantization import evaluating


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of a pass: their logits, or what the output head computes the logits from.

    Attributes:
        states: logits in fp32, shape (predictions, vocabulary); with a head its inputs, shape (predictions, hidden).
        head: the output head, or None if `states` are the logits.
        at_once: predictions per chunk.
    """

    states: torch.Tensor
    head: nn.Module | None
    at_once: int

    def logits(self) -> Iterator[torch.Tensor]:
        """The logits in fp32, chunk after chunk, each of shape (predictions of the chunk, vocabulary)."""
        if self.head is None:
            yield self.states
            return
        for part in self.states.split(self.at_once):
            yield self.head(part[None])[0].float()

    def backward(self, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Adds the gradients of the weighted sum of the losses; returns the losses in nats, shape (predictions,), without graph.

        The gradient of a chunk is computed with its loss, so nothing is computed twice and no logits are kept. The rest of the
        network then gets the gradient of all its outputs in one backward pass.

        Args:
            labels: the tokens to predict, shape (predictions,).
            weights: factor of each loss, shape (predictions,), in fp32.
        """
        if self.head is None:
            nats = functional.cross_entropy(self.states, labels, reduction="none")
            (nats * weights).sum().backward()
            return nats.detach()
        gradients, losses = [], []
        for part, own_labels, own_weights in zip(
            self.states.detach().split(self.at_once),
            labels.split(self.at_once),
            weights.split(self.at_once),
            strict=True,
        ):
            inputs = part.clone().requires_grad_()
            nats = functional.cross_entropy(self.head(inputs[None])[0].float(), own_labels, reduction="none")
            gradients += torch.autograd.grad((nats * own_weights).sum(), inputs)
            losses.append(nats.detach())
        self.states.backward(torch.cat(gradients))
        return torch.cat(losses)


class OutputHead:
    """The output head of a causal language model, which a forward pass can leave out.

    Args:
        model: the base. Chunks need `get_output_embeddings`, and a forward pass that ends with it: some models scale or cap the logits.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._head: nn.Module | None = getattr(model, "get_output_embeddings", lambda: None)()
        self._is_last: bool | None = None
        vocabulary = getattr(self._head, "out_features", None)
        self.at_once = 1 << 62 if vocabulary is None else predictions_at_once(int(vocabulary))

    def is_chunked(self, predictions: int) -> bool:
        """Whether the logits of this number of predictions are computed in chunks."""
        return predictions > self.at_once and self._ends_the_model()

    @property
    def module(self) -> nn.Module | None:
        """The head itself; None if the model does not name it."""
        return self._head

    @contextmanager
    def left_out(self) -> Iterator[list[torch.Tensor]]:
        """Context in which the head returns its inputs; yields the list to which each is added."""
        assert self._head is not None
        inputs: list[torch.Tensor] = []
        own = self._head.__dict__.get("forward")

        def keep(states: torch.Tensor) -> torch.Tensor:
            inputs.append(states)
            return states

        self._head.__dict__["forward"] = keep
        try:
            yield inputs
        finally:
            if own is None:
                del self._head.__dict__["forward"]
            else:
                self._head.__dict__["forward"] = own

    def _ends_the_model(self) -> bool:
        """Whether the model's logits are what the head returns, tried once with one token."""
        if self._head is None:
            return False
        if self._is_last is None:
            token = torch.zeros((1, 1), dtype=torch.long, device=self._head.weight.device)  # type: ignore[arg-type]
            with evaluating(self._model), self.left_out() as inputs:
                logits = self._model(input_ids=token, use_cache=False).logits
            self._is_last = len(inputs) == 1 and logits is inputs[0]
        return self._is_last
