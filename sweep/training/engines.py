"""Which engine trains: the one that was asked for, or the Trainer engine where a model cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine
from sweep.training.engine_by_method import EngineByMethod


def open_engine(name: str, base: LoadedBase, sample: Sequence[Encoded]) -> tuple[Engine, str | None]:
    """Opens an engine; falls back to `trainer` if the model cannot be packed.

    Args:
        name: `packed` or `trainer`.
        sample: a few examples to test packing with.

    Returns:
        The engine, and a message about the fallback or None.
    """
    note = None
    if name == "packed":
        from sweep.training.packed.engine import PackedEngine

        try:
            return PackedEngine(base, sample), None
        except ValueError as error:
            note = f"engine=packed cannot train this model ({error}); engine=trainer is used instead"
    return _trainer(base), note


def open_engines(name: str, base: LoadedBase, sample: Sequence[Encoded]) -> tuple[Engine, str | None]:
    """As `open_engine`, but `packed` leaves the methods that it does not take to `trainer`, which is opened once one comes."""
    engine, note = open_engine(name, base, sample)
    packs = name == "packed" and note is None
    return EngineByMethod(engine, lambda: _trainer(base)) if packs else engine, note


def _trainer(base: LoadedBase) -> Engine:
    # here, since transformers' Trainer imports pandas and pyarrow: most of a second
    from sweep.training.trainer_engine import TrainerEngine

    return TrainerEngine(base)
