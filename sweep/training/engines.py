"""Which engine trains: the one that was asked for, or the Trainer engine where a model cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine


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
    # here, since transformers' Trainer imports pandas and pyarrow: most of a second
    from sweep.training.trainer_engine import TrainerEngine

    return TrainerEngine(base), note
