"""What a module's inputs look like to its adapter: E[(A x)(A x)^T] on training examples, for the initialization EVA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from sweep.errors import TrialFailed
from sweep.training.base_model import LoadedBase
from sweep.training.batches import in_batches, pass_limits, shortest_first, training_order
from sweep.training.encoding import Encoded
from sweep.training.forward import EVALUATION_LOGITS, EVALUATION_TOKENS
from sweep.training.quantization import evaluating

CALIBRATION_EXAMPLES = 64
"""Number of training examples whose inputs are used; changing it is another way of starting with EVA
(`sweep.training.initial_values`)."""

_SHARE = 4
"""Passes are smaller by this factor than in evaluation, since trials may be in training beside them."""

Downs = Mapping[str, torch.Tensor]
"""A by module name, shape (R, in_features)."""

Grams = Mapping[str, torch.Tensor]
"""A C A^T by module name, shape (R, R)."""


def calibration_examples(train: Sequence[Encoded]) -> list[Encoded]:
    """A few training examples, drawn from all of the split; the same for every seed. General text beside them takes no part."""
    train = [item for item in train if not item.replayed]
    return [train[index] for index in training_order(len(train), min(CALIBRATION_EXAMPLES, len(train)), seed=0)]


def input_grams(base: LoadedBase, adapters: Sequence[Downs], examples: Sequence[Encoded]) -> list[Grams]:
    """A C A^T of each adapter's modules, in float64, where C = E[x x^T] over the tokens that reach the module in the base.

    One pass of the base serves all adapters. An adapter's result does not depend on the others.

    Args:
        base: without an adapter attached.
        adapters: A of each adapter.
        examples: all their tokens count, padding does not.

    Raises:
        TrialFailed: an adapter is not one of this base.
    """
    sums = _InputSums(adapters)
    limits = pass_limits(examples, EVALUATION_TOKENS, EVALUATION_LOGITS, _SHARE)
    with evaluating(base.model), sums.collecting(base):
        for indices in in_batches(shortest_first(examples), limits):
            batch = base.collator([examples[index] for index in indices])
            del batch["labels"]
            inputs = {
                key: value.to(base.device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()
            }
            sums.mask = inputs["attention_mask"].bool()
            base.model(**inputs)
    return sums.means()


class _InputSums:
    """Sums of (A x)(A x)^T over tokens.

    Attributes:
        mask: which tokens of the current batch are no padding, shape (examples, columns).
    """

    def __init__(self, adapters: Sequence[Downs]) -> None:
        self.mask = torch.empty(0, dtype=torch.bool)
        self._adapters = adapters
        self._sums: list[dict[str, torch.Tensor]] = [{} for _ in adapters]
        self._tokens: dict[str, int] = {}

    @contextmanager
    def collecting(self, base: LoadedBase) -> Iterator[None]:
        """Context in which every pass of the base is counted."""
        names = sorted({name for downs in self._adapters for name in downs})
        unknown = [name for name in names if name not in base.linear_modules]
        if unknown:
            raise TrialFailed(f"the adapter does not fit this base, which has no linear module {unknown[0]}")
        handles = [base.model.get_submodule(name).register_forward_pre_hook(self._hook(name)) for name in names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def means(self) -> list[Grams]:
        """The means over tokens, without the modules that no token reached."""
        return [{name: (total / self._tokens[name]).cpu() for name, total in sums.items()} for sums in self._sums]

    def _hook(self, name: str) -> Any:
        def add(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            inputs = arguments[0]
            # a module that sees a selection of the tokens, as experts do, counts whatever reaches it
            whole = inputs.shape[:-1] == self.mask.shape
            tokens = inputs[self.mask] if whole else inputs.reshape(-1, inputs.shape[-1])  # (tokens, in_features)
            self._tokens[name] = self._tokens.get(name, 0) + len(tokens)
            for downs, sums in zip(self._adapters, self._sums, strict=True):
                if name in downs:
                    seen = (tokens.float() @ downs[name].to(tokens.device).float().t()).double()  # (tokens, R)
                    sums[name] = sums.get(name, 0.0) + seen.t() @ seen

        return add
