"""Which engine trains: the one that was asked for, or the reference where a model cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine
from sweep.training.packed.engine import PackedEngine
from sweep.training.trainer_engine import TrainerEngine


def open_engine(name: str, base: LoadedBase, sample: Sequence[Encoded]) -> tuple[Engine, str | None]:
    """The engine, and why it is not the one that was asked for, if it is not.

    Args:
        name: `packed` or `trainer`.
        sample: a few examples on which packing is tried.
    """
    if name == "packed":
        try:
            return PackedEngine(base, sample), None
        except ValueError as error:
            return TrainerEngine(base), f"engine=packed cannot train this model ({error}); engine=trainer does"
    return TrainerEngine(base), None
