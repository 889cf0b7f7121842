"""The part of the training recipe that all arms of a study share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.records.keys import Key, Limit

SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")

AUTO_CHECKPOINTING = "auto"
"""The value of `train.gradient_checkpointing` that leaves the decision to a worker."""

MOST_REPLAY = 0.5
"""The highest `train.replay`."""

PATIENCE = 2
"""The default of `train.patience`."""


@dataclass(frozen=True, slots=True)
class Training:
    """The fixed part of the training recipe, the same for every arm of a study."""

    steps: Annotated[int, Key("optimizer steps per trial", Limit(1, 10_000_000))] = 100
    batch_size: Annotated[int, Key("examples per forward pass", Limit(1, 65_536))] = 4
    gradient_accumulation: Annotated[int, Key("forward passes per optimizer step", Limit(1, 65_536))] = 1
    schedule: Annotated[
        str, Key("learning-rate schedule, as transformers names it (linear decays to zero)", choices=SCHEDULES)
    ] = "linear"
    warmup_fraction: Annotated[
        float, Key("share of the steps in which the learning rate rises from zero", Limit(0, 1))
    ] = 0.1
    weight_decay: Annotated[float, Key("AdamW's decoupled weight decay", Limit(0, 100))] = 0.0
    max_grad_norm: Annotated[float, Key("gradients are clipped to this norm", Limit(0, 1e12, above=True))] = 1.0
    gradient_checkpointing: Annotated[
        Any,
        Key(
            "compute activations again in the backward pass instead of keeping them, a third slower; auto: where a trial would not fit "
            "into memory otherwise. Changes no result",
            example="true",
            kind="true, false, or auto",
        ),
    ] = AUTO_CHECKPOINTING
    replay: Annotated[
        float,
        Key(
            "share of the training examples that are replaced by general text, against forgetting (docs/forgetting.md)",
            Limit(0, MOST_REPLAY),
            example="0.25",
        ),
    ] = 0.0
    decay_to_base: Annotated[
        float,
        Key(
            "decoupled decay of the trained weights towards their first values, which are the base (L2-SP; docs/forgetting.md)",
            Limit(0, 1_000_000),
            example="10",
        ),
    ] = 0.0
    early_stopping: Annotated[
        int,
        Key(
            "steps between looks at the loss on tune; the best weights are kept, and training stops after train.patience looks without "
            "a better one. 0 trains all steps (docs/forgetting.md)",
            Limit(0, 10_000_000),
            example="8",
        ),
    ] = 0
    patience: Annotated[
        int, Key("train.early_stopping: looks in a row without a better loss that end the training", Limit(1, 10_000))
    ] = PATIENCE

    @property
    def leaves_checkpointing_open(self) -> bool:
        """Whether a worker decides about gradient checkpointing by the memory that it predicts."""
        return bool(self.gradient_checkpointing == AUTO_CHECKPOINTING)

    def uses_checkpointing(self, *, auto: bool) -> bool:
        """Whether training uses gradient checkpointing.

        Args:
            auto: the worker's decision, where it is left open.
        """
        return auto if self.leaves_checkpointing_open else bool(self.gradient_checkpointing)
