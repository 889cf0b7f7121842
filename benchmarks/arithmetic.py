"""The arithmetic of a trial, counted from the tokens of its passes and the shapes of the model.

A linear layer takes 2 x inputs x outputs operations per token forward and the same number for the gradient of its inputs; a frozen
weight gets no gradient, and the inputs of the first layer's query, key and value need none. An adapter of rank r takes
2 x r x (inputs + outputs) forward, as many for its own gradients and as many for that of its inputs. Attention takes
4 x heads x head size for each pair of tokens of which one sees the other, twice that backward. Norms, softmax,
cross-entropy and the optimizer are left out: they are limited by memory and a hundredth of the operations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from sweep.records import Arm
from sweep.training.adapters import target_modules
from sweep.training.encoding import Encoded
from sweep.training.packed.evaluator import evaluation_batches
from sweep.training.packed.layout import lay_out, shared_prompt

_FIRST = re.compile(r"\.layers\.0\..*\.[qkv]_proj$")


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a model multiplies with.

    Attributes:
        linear: (inputs, outputs) of each linear module of the layers by full name.
        head: (inputs, outputs) of the output head.
        attention: heads times head size, summed over layers.
    """

    linear: Mapping[str, tuple[int, int]]
    head: tuple[int, int]
    attention: int

    def reaches(self, name: str) -> bool:
        """Whether a gradient is wanted of the module's inputs."""
        return not _FIRST.search(f".{name}")


@dataclass(frozen=True, slots=True)
class Work:
    """What goes through the model in one pass, or in several.

    Attributes:
        tokens: that go through the layers.
        predictions: tokens that go through the output head.
        pairs: pairs of tokens of which one attends to the other.
        passes: how many passes it is.
    """

    tokens: int
    predictions: int
    pairs: int
    passes: int = 1


def shapes_of(folder: Path) -> Shapes:
    """The shapes of the model in a folder; its weights are not read."""
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    attention = sum(inputs for name, (inputs, _) in linear.items() if name.endswith(".o_proj"))
    return Shapes(linear, (head.in_features, head.out_features), attention)


def packed(batch: Sequence[Encoded]) -> Work:
    """A batch as Goldilocks lays it out: no padding, a shared instruction once, the head for predictions only."""
    layout = lay_out([batch])
    prefix = shared_prompt(batch)
    own = [len(item) - 1 - prefix for item in batch]
    pairs = _causal(prefix) + sum(count * prefix + _causal(count) for count in own)
    return Work(len(layout.ids), len(layout.kept), pairs)


def padded(batch: Sequence[Encoded]) -> Work:
    """A batch as a plain script lays it out: every row as long as the longest, every token through the head."""
    width = max(len(item) for item in batch)
    return Work(len(batch) * width, len(batch) * width, len(batch) * _causal(width))


def together(parts: Iterable[Work]) -> Work:
    """Several passes as one account."""
    listed = list(parts)
    return Work(
        sum(part.tokens for part in listed),
        sum(part.predictions for part in listed),
        sum(part.pairs for part in listed),
        sum(part.passes for part in listed),
    )


def scored_packed(encoded: Sequence[Encoded]) -> Work:
    """Scoring as `sweep.training.packed.evaluator` does it for one adapter."""
    every = (indices for group in evaluation_batches(encoded, 1, with_answers=False) for indices in group)
    return together(packed([encoded[index] for index in indices]) for indices in every)


def in_batches(encoded: Sequence[Encoded], size: int) -> list[Sequence[Encoded]]:
    """The examples in batches, in their order."""
    return [encoded[start : start + size] for start in range(0, len(encoded), size)]


def forward(shapes: Shapes, work: Work, arm: Arm | None) -> int:
    """Operations of a pass without gradients; `arm` None stands for the bare base."""
    linear = 2 * work.tokens * sum(inputs * outputs for inputs, outputs in shapes.linear.values())
    head = 2 * work.predictions * shapes.head[0] * shapes.head[1]
    adapter = sum(2 * work.tokens * rank * (inputs + outputs) for _, rank, inputs, outputs in _adapted(shapes, arm))
    return linear + head + adapter + 4 * work.pairs * shapes.attention


def training(shapes: Shapes, work: Work, arm: Arm) -> int:
    """Operations of a pass with gradients of the adapter."""
    linear = (
        2
        * work.tokens
        * sum(inputs * outputs for name, (inputs, outputs) in shapes.linear.items() if shapes.reaches(name))
    )
    head = 2 * work.predictions * shapes.head[0] * shapes.head[1]
    adapter = sum(
        2 * work.tokens * rank * (inputs + outputs + outputs + (inputs if shapes.reaches(name) else 0))
        for name, rank, inputs, outputs in _adapted(shapes, arm)
    )
    return forward(shapes, work, arm) + linear + head + adapter + 8 * work.pairs * shapes.attention


def _adapted(shapes: Shapes, arm: Arm | None) -> list[tuple[str, int, int, int]]:
    if arm is None:
        return []
    return [(name, arm.rank, *shapes.linear[name]) for name in target_modules(arm, tuple(shapes.linear))]


def _causal(tokens: int) -> int:
    return tokens * (tokens + 1) // 2
