"""What a sweep has told and the store has not got yet, kept on disk: one file for each process, one record a line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.store.locks import this_process
from sweep.tracking.owner import is_leftover, owner_tags

Entry = dict[str, Any]
"""A record as plain JSON types."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process keeps what the store has not got yet.

    Args:
        folder: the folder of all such files.
        store: the store's address without secrets: no other store takes what is kept for this one.
    """

    folder: Path
    store: str


class Journal:
    """The file of one sweep: there as long as the store lacks something.

    Args:
        head: what the records of the file have in common; a JSON object.
    """

    def __init__(self, place: Place, study: str, head: Mapping[str, Any]) -> None:
        owner = this_process()
        self.file = place.folder / f"{study}.{uuid.uuid4().hex[:12]}.jsonl"
        self._head = {**owner_tags(owner), "study": study, "store": place.store, **head}
        self._begun = False

    def append(self, entry: Entry) -> None:
        """Keeps a record.

        Raises:
            OSError: it cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = [entry] if self._begun else [self._head, entry]
        with self.file.open("a" if self._begun else "w", encoding="utf-8") as stream:
            stream.write("".join(f"{json.dumps(line)}\n" for line in lines))
        self._begun = True

    def clear(self) -> None:
        """The store has all of it."""
        if self._begun:
            self.file.unlink(missing_ok=True)
            self._begun = False


@dataclass(frozen=True, slots=True)
class Left:
    """What a process that is gone has left.

    Attributes:
        head: what the records have in common.
        entries: the records, in the order in which they were told.
    """

    file: Path
    head: Mapping[str, Any]
    entries: Sequence[Entry]


def left_by_others(place: Place, study: str, *, alone: bool) -> Iterator[Left]:
    """The files that processes which are gone have left for this store and study; whoever does as they say removes them.

    Args:
        alone: see `sweep.tracking.owner.is_leftover`.
    """
    for file in sorted(place.folder.glob(f"{study}.*.jsonl")):
        head, *entries = list(_objects(file)) or [{}]
        if (head.get("study"), head.get("store")) == (study, place.store) and is_leftover(
            head, this_process(), alone=alone
        ):
            yield Left(file, head, entries)


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines; the last one of a process that was killed may be none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            read = json.loads(line)
        except ValueError:
            return
        if isinstance(read, dict):
            yield read
