"""What earlier sweeps could not record: the journals of processes that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sweep.tracking.journal import Entry, JournalFolder, OrphanedJournal, described_sweep, orphaned_journals
from sweep.tracking.port import DataSet, KnownResults, SweepRun

NO_RUN = ""
"""In place of a run's id: a record that belongs to no run of a sweep."""


class LeftJournals:
    """The journals that are being recorded for their sweeps; each is removed when the store has every record.

    Args:
        place: the folder of the journals.
        say: called with each message for the user, one line.

    Attributes:
        sweeps: the sweeps of these journals, by the ids of their runs.
    """

    def __init__(self, place: JournalFolder, say: Callable[[str], None]) -> None:
        self.sweeps: dict[str, SweepRun] = {}
        self._place = place
        self._say = say
        self._files: list[Path] = []

    def take_up(self, sweep: SweepRun) -> Iterator[tuple[Entry, SweepRun | None]]:
        """The entries of the journals that are left of this study, in order, each with what the process needs beside it.

        Args:
            sweep: the sweep that records them.
        """
        for journal in orphaned_journals(self._place, sweep.study, alone=sweep.alone):
            self._say(f"MLflow: recording what an earlier run could not ({len(journal.entries)} record(s))")
            known = _sweep_of(journal, sweep.study, sweep.known_results)
            run = str(journal.head.get("sweep"))
            if run != NO_RUN:
                self.sweeps[run] = known
            if run != NO_RUN and not any(entry.get("do") == "open_sweep" for entry in journal.entries):
                # if the run is gone, each of its records is refused with a message
                yield {"do": "resume_sweep", "run": run}, known
            for entry in journal.entries:
                opens = entry.get("do") == "open_sweep"
                yield {**entry, "again": True}, described_sweep(entry, known) if opens else None
            self._files.append(journal.file)

    def clear(self) -> None:
        """Removes the journals that were taken up; call it when the store has every record."""
        for file in self._files:
            file.unlink(missing_ok=True)
        self._files.clear()
        self.sweeps.clear()


def _sweep_of(journal: OrphanedJournal, study: str, known_results: KnownResults) -> SweepRun:
    """The sweep that has written a journal, as far as its head has it."""
    return SweepRun(
        study,
        "",
        params=journal.head.get("params", {}),
        known_results=known_results,
        data_sets=[DataSet(**each) for each in journal.head.get("data_sets", [])],
    )
