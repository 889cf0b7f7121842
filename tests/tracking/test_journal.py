"""Journals: what a process could not record is found again, and what was never whole does not stay."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from sweep.tracking.journal import Journal, JournalFolder, orphaned_journals


@pytest.fixture
def place(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path, "sqlite:///mlflow.db")


def test_records_are_found_in_order_once_their_process_is_gone(place: JournalFolder) -> None:
    journal = Journal(place, "made", {"sweep": "s"})
    journal.append({"do": "a"})
    journal.append({"do": "b"})
    (found,) = orphaned_journals(place, "made", alone=True)
    assert (found.head["sweep"], found.entries) == ("s", [{"do": "a"}, {"do": "b"}])
    assert not list(orphaned_journals(place, "other", alone=True))
    journal.clear()
    assert not list(place.folder.iterdir())


def test_a_full_disk_leaves_no_file(place: JournalFolder) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Journal(place, "made", {}).append({"do": "a"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(place.folder.iterdir())


@pytest.mark.parametrize("text", ["", '{"study": "ma'])
def test_what_a_process_was_killed_over_is_removed_unless_it_may_be_alive(text: str, place: JournalFolder) -> None:
    cut, new = place.folder / "made.cut.jsonl", place.folder / "made.new.jsonl"
    for file in (cut, new):
        file.write_text(text)
    os.utime(cut, (time.time() - 3600,) * 2)
    assert not list(orphaned_journals(place, "made", alone=True))
    assert list(place.folder.iterdir()) == [new]
