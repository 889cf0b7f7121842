"""Adapters that are kept whatever happens to other weights: `mlruns/pinned.json`, the reason by the adapter's identity."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sweep.errors import DataError
from sweep.store.paths import Paths, checked_name
from sweep.store.whole_file import replace_text


class Pins:
    """The pinned adapters.

    In all methods, `adapter` is the adapter's identity (`TrialSpec.adapter_id`).
    """

    def __init__(self, paths: Paths) -> None:
        self._file = paths.pins

    def all(self) -> dict[str, str]:
        """The reasons by adapter.

        Raises:
            DataError: the file cannot be read; nothing may be removed then.
        """
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise self._unreadable() from error
        if not isinstance(known, dict):
            raise self._unreadable()
        return {str(adapter): str(why) for adapter, why in known.items()}

    def add(self, adapter: str, why: str) -> None:
        """Pins an adapter.

        Raises:
            DataError: the file cannot be read.
            OSError: it cannot be written.
        """
        self._write({**self.all(), checked_name(adapter): why})

    def remove(self, adapter: str) -> None:
        """Lets an adapter go; does nothing if it is not pinned."""
        known = self.all()
        if known.pop(adapter, None) is not None:
            self._write(known)

    def _write(self, pins: Mapping[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self._file, json.dumps(dict(pins), indent=1) + "\n")

    def _unreadable(self) -> DataError:
        return DataError(
            f"{self._file} is not a JSON object of reasons by adapter; correct it, or move it away and pin again"
        )
