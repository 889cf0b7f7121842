"""What is known of a method: its parameters, how PEFT's configuration is made, and what it can be combined with."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.records import Arm, Value
from sweep.records.keys import Key
from sweep.records.quants import QUANTS

RANK, ALPHA, DROPOUT, TARGETS, INIT = "rank", "alpha_ratio", "dropout", "targets", "init"
RANK_PATTERN, ALPHA_PATTERN, LAYERS = "rank_pattern", "alpha_pattern", "layers"
"""Fields of `Arm` that a method has or does not have."""

LORA_FIELDS = (RANK, ALPHA, DROPOUT, TARGETS, INIT, RANK_PATTERN, ALPHA_PATTERN, LAYERS)
"""Those of LoRA and its variants."""


@dataclass(frozen=True, slots=True)
class NoKeys:
    """The parameters of a method that has none of its own."""


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What a method's PEFT configuration may depend on beside the arm.

    Attributes:
        steps: optimizer steps of the training; 0 where nothing is trained.
    """

    steps: int = 0


@dataclass(frozen=True, slots=True)
class OwnKey:
    """One of a method's own parameters, `method.NAME`.

    Attributes:
        type: int, float, bool or str.
        default: None if a value must be given.
    """

    name: str
    type: type
    about: Key
    default: Value | None


@dataclass(frozen=True, slots=True)
class Method:
    """A way of adapting a base.

    Attributes:
        name: as in `method=NAME`.
        title: its name for use in a sentence.
        text: what it is, in one line.
        paper: where it comes from.
        peft: the name of PEFT's configuration class; None for full fine-tuning, which PEFT has no part in.
        settings: the arguments of that class, beside `task_type` and the like.
        keys: its own parameters: a frozen dataclass whose fields are annotated with `Key`, as those of the schema are.
        space: values that a search tries of own parameters; the others keep their value.
        lora: the fields of `Arm` that it has.
        packed: whether `engine=packed` trains it, besides `engine=trainer`.
        cut: whether a trained adapter can be cut to a smaller rank.
        rank_stabilized: whether the update is scaled by alpha / sqrt(rank) instead of alpha / rank.
        virtual_tokens: whether it puts trained tokens before the prompt, so that sequences are padded on the right.
        checkpointing: whether `train.gradient_checkpointing` can be used in `engine=trainer`; in a pack it always can.
        quants: the quantizations of the base that it trains on.
        float32: whether products with the base have to be computed in fp32.
        starts_at_base: whether the model computes what the base does when training begins, so that its weights can decay towards that.
        stops_early: whether training can end before its last step.
        mergeable: whether the result can be merged into an unquantized base.
        why_not: why it lacks something that others have, by field (`packed`, `cut`, `checkpointing`, `quants`, `float32`,
            `starts_at_base`, `stops_early`), to follow a colon.
    """

    name: str
    title: str
    text: str
    paper: str
    peft: str | None
    settings: Callable[[Arm, TrainingFacts], Mapping[str, Any]]
    keys: type = NoKeys
    space: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    lora: tuple[str, ...] = ()
    packed: bool = False
    cut: bool = False
    rank_stabilized: bool = False
    virtual_tokens: bool = False
    checkpointing: bool = True
    quants: tuple[str, ...] = QUANTS
    float32: bool = False
    starts_at_base: bool = True
    stops_early: bool = True
    mergeable: bool = False
    why_not: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_rank(self) -> bool:
        """Whether its adapters have a rank."""
        return RANK in self.lora

    @property
    def trains_base(self) -> bool:
        """Whether the base's own weights are trained, so that there is no adapter."""
        return self.peft is None

    def own_keys(self) -> Iterator[OwnKey]:
        """Its own parameters, in the order of `Arm.own`."""
        hints = typing.get_type_hints(self.keys, include_extras=True)
        for each in dataclasses.fields(self.keys):
            about = next(part for part in hints[each.name].__metadata__ if isinstance(part, Key))
            default = None if each.default is dataclasses.MISSING else each.default
            yield OwnKey(each.name, hints[each.name].__origin__, about, default)
