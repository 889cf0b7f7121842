"""Estimates the memory of passes from the model's configuration alone, where none can be measured: before weights are loaded, and
for the engine that trains through transformers and PEFT.

It counts the tensors that autograd keeps in a decoder layer of the Llama kind (normalization, attention, normalization, gated
feed-forward block) whose weights are frozen, and that a layer's backward pass needs at once. Other kinds of layers differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sweep.methods.initialization import stored_rank
from sweep.methods.module_ranks import largest_rank
from sweep.records import Arm
from sweep.training.forward import predictions_at_once
from sweep.training.packed.memory.model import ModelSizes, PassCosts
from sweep.training.packed.memory.terms import FP32_BYTES

ATTENTION_INPUTS = ("q_proj", "k_proj", "v_proj")
GATED_INPUTS = ("gate_proj", "up_proj")

LOGIT_COPIES = 4.0
"""Logits in fp32, their log-softmax, its gradient, and both halves of the logits and of their gradient in 16 bits."""

EVALUATION_LOGIT_COPIES = 2.5
"""Logits in fp32, their log-softmax, and the logits in 16 bits."""


@dataclass(frozen=True, slots=True)
class LayerWidths:
    """The widths of a decoder layer, in numbers per token.

    Attributes:
        hidden: of the residual stream.
        query: heads * head_dim.
        key: key heads * head_dim.
        inner: of the feed-forward block.
        number_bytes: bytes per activation.
    """

    hidden: int
    query: int
    key: int
    inner: int
    number_bytes: int

    def inputs(self, target: str) -> int:
        """The width of a module's input, by the last part of its name; 0 for names of other kinds of layers."""
        known = dict.fromkeys((*ATTENTION_INPUTS, *GATED_INPUTS), self.hidden)
        return {**known, "o_proj": self.query, "down_proj": self.inner}.get(target.rpartition(".")[2], 0)


def normalization_kept(widths: LayerWidths) -> int:
    """Bytes per token of a layer's two RMS norms: each keeps its input in fp32 (`LlamaRMSNorm.forward`)."""
    return 2 * FP32_BYTES * widths.hidden


def attention_kept(widths: LayerWidths) -> int:
    """Bytes per token of attention beside the gathered queries, keys and values: its output, and the log-sum of each head (small)."""
    return widths.number_bytes * widths.query


def feed_forward_kept(widths: LayerWidths) -> int:
    """Bytes per token of SiLU(gate) * up: gate, SiLU(gate) and up."""
    return 3 * widths.number_bytes * widths.inner


def adapters_kept(widths: LayerWidths, arm: Arm, *, shared: bool) -> int:
    """Bytes per token of a layer's updates: the input of each adapted module, A's output, and the mask of dropout.

    Where ranks or layers differ, this is a limit from above: that of a layer with all modules, each of the largest rank.

    Args:
        shared: whether modules with the same input keep it once (`updates.py`), or each a copy in its own type (PEFT under autocast).
    """
    targets = {name.rpartition(".")[2] for name in arm.targets}
    if shared:
        inputs = sum(
            widths.inputs(group[0])
            for group in (ATTENTION_INPUTS, ("o_proj",), GATED_INPUTS, ("down_proj",))
            if targets & set(group)
        )
    else:
        inputs = sum(map(widths.inputs, targets))
    masks = sum(map(widths.inputs, targets)) if arm.dropout else 0
    rank = stored_rank(replace(arm, rank=largest_rank(arm)))
    return widths.number_bytes * (inputs + masks + rank * len(targets))


def backward_needed(widths: LayerWidths) -> int:
    """Bytes per token while a layer's backward pass is at its feed-forward block: the gradients of its three arrays and of the residual."""
    return widths.number_bytes * (3 * widths.inner + 2 * widths.hidden)


def checkpoint_kept(widths: LayerWidths) -> int:
    """Bytes per token of a layer with gradient checkpointing: its input."""
    return widths.number_bytes * widths.hidden


def layer_kept(widths: LayerWidths, arm: Arm, *, shared: bool = True) -> int:
    """Bytes per token that a layer keeps for its backward pass, without the gathered queries, keys and values."""
    parts = (normalization_kept(widths), attention_kept(widths), feed_forward_kept(widths))
    return sum(parts) + adapters_kept(widths, arm, shared=shared)


def estimated_training(
    sizes: ModelSizes, widths: LayerWidths, arm: Arm, *, checkpointing: bool, shared: bool = True
) -> PassCosts:
    """The costs of a training pass. With checkpointing one layer at a time keeps what it needs, and the others their inputs."""
    kept = layer_kept(widths, arm, shared=shared)
    layers = kept + sizes.layers * checkpoint_kept(widths) if checkpointing else sizes.layers * kept
    held = 1 if checkpointing else sizes.layers
    tables = held + 2 if sizes.scores_held else 0
    return PassCosts(held, tables, float(layers + backward_needed(widths)), LOGIT_COPIES)


def estimated_evaluation(widths: LayerWidths) -> PassCosts:
    """The costs of a forward pass: one layer's arrays, none of which is kept."""
    token = normalization_kept(widths) + attention_kept(widths) + feed_forward_kept(widths)
    return PassCosts(1, 2, float(token), EVALUATION_LOGIT_COPIES)


def sizes_of(
    config: Any, number_bytes: int, *, on_gpu: bool, scores_held: int = 0, largest_weight: int = 0
) -> ModelSizes:
    """The sizes of a base model from its text configuration.

    Args:
        number_bytes: bytes per activation.
        scores_held, largest_weight: see `ModelSizes`.
    """
    heads = int(config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return ModelSizes(
        layers=int(config.num_hidden_layers),
        heads=heads,
        query_width=heads * head_dim,
        key_width=int(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        vocabulary=int(config.vocab_size),
        number_bytes=number_bytes,
        scores_held=scores_held,
        logits_at_once=predictions_at_once(int(config.vocab_size)),
        largest_weight=largest_weight,
        on_gpu=on_gpu,
    )


def widths_of(config: Any, sizes: ModelSizes) -> LayerWidths:
    """The widths of a layer from the model's text configuration; four times the hidden width where it names no inner one."""
    hidden = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    return LayerWidths(hidden, sizes.query_width, sizes.key_width, inner, sizes.number_bytes)
