"""What MLflow has of a champion's history: a small file beside it, so that nothing is asked of the store while nothing has changed."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweep.store.whole_file import replace_text


@dataclass(frozen=True, slots=True)
class RecordedHistory:
    """How far MLflow is.

    Attributes:
        store: its address without secrets; None if nothing was recorded.
        entry: the last entry of the history that it has.
        is_open: whether a refresh has opened a run and did not see it closed; a run that was killed is ended by the next call.
    """

    store: str | None = None
    entry: int = 0
    is_open: bool = False

    @classmethod
    def read(cls, file: Path) -> RecordedHistory:
        """Nothing recorded, if the file is missing or damaged: then everything is recorded again, which adds nothing."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            plain = json.loads(file.read_text(encoding="utf-8"))
            return cls(plain["store"], int(plain["entry"]), bool(plain["is_open"]))
        return cls()

    def lacks(self, number: int, *, alone: bool) -> bool:
        """Whether something is left to do in this store.

        Args:
            number: of the last entry.
            alone: whether no refresh is running, whose run may be open.
        """
        return self.entry != number or (self.is_open and alone)

    def write(self, file: Path) -> None:
        """Replaces the file.

        Raises:
            OSError: it cannot be written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps(dataclasses.asdict(self)) + "\n")
