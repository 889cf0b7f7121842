"""An arm: one full training recipe without the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

DEFAULT_INIT = "default"
"""The value of `lora.init` that records leave out."""


Value = int | float | bool | str
"""The value of a method's own parameter."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One full training recipe without the seed, and the rank that the trained adapter is cut to.

    A field of LoRA that the method does not have is 0 or empty, and is left out of records; `sweep.methods` knows which a method has.

    Attributes:
        rank: LoRA's r, the inner dimension of the update BA (Hu et al. 2021). Of a cut adapter, the rank it is cut to.
        alpha_ratio: alpha divided by rank, the scale of the update in LoRA.
        dropout: dropout on the adapter's input.
        targets: name suffixes of the modules that get an adapter, sorted.
        learning_rate: the peak learning rate (in LoRA+ that of A).
        method: the name of one of `sweep.methods`.
        loraplus_lr_ratio: learning rate of B divided by that of A; 1 outside LoRA+.
        cut_from: the rank that a cut adapter was trained at; None if the adapter is as trained.
        own: the method's own parameters, name and value in the order of the method's description.
        init: what A and B start as, a name of `sweep.methods.initialization`.
        quant: the quantization of the base that it is trained and evaluated on, where that is not the study's; else None.
        rank_pattern: ranks of single modules by pattern, see `sweep.methods.module_ranks`; `rank` is that of the others. They stay as
            they are where an adapter is cut.
        alpha_pattern: alphas of single modules by pattern.
        layers: numbers of the layers that get an adapter; empty for all.
    """

    rank: int
    alpha_ratio: float
    dropout: float
    targets: tuple[str, ...]
    learning_rate: float
    method: str = "lora"
    loraplus_lr_ratio: float = 1.0
    cut_from: int | None = None
    own: tuple[tuple[str, Value], ...] = ()
    init: str = DEFAULT_INIT
    quant: str | None = None
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()
    layers: tuple[int, ...] = ()

    @property
    def parent(self) -> Arm:
        """The arm that is trained: of a cut adapter the one it is cut from, else this one."""
        return self if self.cut_from is None else replace(self, rank=self.cut_from, cut_from=None)

    @property
    def alpha(self) -> float:
        """LoRA's alpha: `alpha_ratio * rank`."""
        return self.alpha_ratio * self.rank


def set_name(targets: Sequence[str], sets: Mapping[str, Sequence[str]]) -> str:
    """The name of the set with exactly these modules, or the modules joined with commas."""
    for name, modules in sets.items():
        if sorted(modules) == sorted(targets):
            return name
    return ",".join(targets)
