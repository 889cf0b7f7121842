"""What a worker's base and data must be for a study; light to import, since the parent states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.errors import DataError, EnvironmentLacks

_EVERY_TRIAL = {"train": 1, "tune": 1}
"""Examples that every trial needs."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What base and data must be: a study never mixes two data sets or two bases.

    Attributes:
        data_hash: hash of the splits that the study was planned with; None accepts any.
        base_hash: hash of the base that the study's first worker loaded; None accepts any.
        least: per split, the minimum number of examples that are short enough.
        checkpointing: whether trials that leave it open use gradient checkpointing, as the study's first worker decided.
        quant: the quantization of the base, for arms that have one of their own; None for the study's.
    """

    data_hash: str | None = None
    base_hash: str | None = None
    least: Mapping[str, int] = field(default_factory=dict)
    checkpointing: bool = False
    quant: str | None = None

    def check_data(self, data_hash: str) -> None:
        """Raises a DataError if the data is not the study's."""
        if self.data_hash is not None and data_hash != self.data_hash:
            raise DataError(
                "the data set was changed while the study was running; what is finished is kept with the data it was trained on. "
                "Put the files back to go on, or run the same command again: it begins a new study with the data as it is"
            )

    def check_base(self, base_hash: str) -> None:
        """Raises an EnvironmentLacks if the base is not the study's."""
        if self.base_hash is not None and base_hash != self.base_hash:
            raise EnvironmentLacks(
                f"the base model's files were changed while the study was running ({self.base_hash[:8]} at its start, "
                f"{base_hash[:8]} now); what is finished is kept. Put the files back and run the same command again"
            )

    def check_examples(self, fitting: Mapping[str, int], longest: int) -> None:
        """Raises a DataError that names every split with too few examples of at most `longest` tokens."""
        problems = [
            f"{split}: {_examples(fitting[split])} of {longest} tokens or fewer (task.max_length, or the model's context) where at least "
            f"{least} are needed; raise task.max_length, or add shorter examples"
            for split, least in {**_EVERY_TRIAL, **self.least}.items()
            if fitting[split] < least
        ]
        if problems:
            raise DataError(problems)


def _examples(count: int) -> str:
    return f"{count} example{'' if count == 1 else 's'}"
