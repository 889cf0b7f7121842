"""Records that the store has not taken yet, on disk: one file per process, one JSON object per line."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep.store.locks import this_process
from sweep.tracking.port import SweepRun, is_leftover, owner_tags

_FIRST_LINE_SECONDS = 60.0
"""The longest that a process takes from making a journal to its first line."""

Entry = dict[str, Any]
"""A record as plain JSON types."""


@dataclass(frozen=True, slots=True)
class JournalFolder:
    """The folder of the journals for one store.

    Attributes:
        folder: the folder.
        store: the store's address without secrets; journals of other stores are ignored.
    """

    folder: Path
    store: str


class Journal:
    """The file of one sweep; it exists only while the store lacks a record.

    Args:
        head: what the records of the file have in common; a JSON object.
    """

    def __init__(self, place: JournalFolder, study: str, head: Mapping[str, Any]) -> None:
        self.file = place.folder / f"{study}.{uuid.uuid4().hex[:12]}.jsonl"
        self._head = {**owner_tags(this_process()), "study": study, "store": place.store, **head}
        self._exists = False

    def append(self, entry: Entry) -> None:
        """Writes a record.

        Raises:
            OSError: the file cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = [entry] if self._exists else [self._head, entry]
        try:
            with self.file.open("a" if self._exists else "w", encoding="utf-8") as stream:
                stream.write("".join(f"{json.dumps(line)}\n" for line in lines))
        except OSError:
            if not self._exists:
                self.file.unlink(missing_ok=True)
            raise
        self._exists = True

    def clear(self) -> None:
        """Removes the file; call it when the store has every record."""
        if self._exists:
            self.file.unlink(missing_ok=True)
            self._exists = False


@dataclass(frozen=True, slots=True)
class OrphanedJournal:
    """The journal of a process that is gone.

    Attributes:
        head: what the records have in common.
        entries: the records, oldest first.
    """

    file: Path
    head: Mapping[str, Any]
    entries: Sequence[Entry]


def orphaned_journals(place: JournalFolder, study: str, *, alone: bool) -> Iterator[OrphanedJournal]:
    """The journals for this store and study whose processes are gone, the oldest first; the caller records and removes them.

    Files whose processes were killed over the first line are removed here.

    Args:
        alone: see `sweep.tracking.port.is_leftover`.
    """
    for file in sorted(place.folder.glob(f"{study}.*.jsonl"), key=_last_written):
        head, *entries = list(_objects(file)) or [{}]
        if not head and 0 < _last_written(file) < time.time() - _FIRST_LINE_SECONDS:
            file.unlink(missing_ok=True)
        is_for_us = (head.get("study"), head.get("store")) == (study, place.store)
        if is_for_us and is_leftover(head, this_process(), alone=alone):
            yield OrphanedJournal(file, head, entries)


def _last_written(file: Path) -> float:
    """When a journal got its last entry; 0 for one that another process has just removed."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def described(sweep: SweepRun) -> Entry:
    """What an entry holds about the run of a sweep, beside the head of its journal; later processes know the results themselves."""
    return {
        "config_yaml": sweep.config_yaml,
        "tags": dict(sweep.tags),
        "declared": dict(sweep.declared),
        "command": sweep.command,
        "alone": sweep.alone,
    }


def described_sweep(entry: Entry, known: SweepRun) -> SweepRun:
    """The sweep that `described` was given.

    Args:
        known: study, params and results.
    """
    return replace(
        known,
        **{name: entry[name] for name in ("config_yaml", "tags", "declared", "command", "alone")},
    )


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The complete lines; a killed process can leave an incomplete last line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            parsed = json.loads(line)
        except ValueError:
            return
        if isinstance(parsed, dict):
            yield parsed
