"""`kind=none`: the schedule is registered, and whoever likes calls `tick`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sweep.nightly.kinds.kind import FilesOnly, Place, shell
from sweep.nightly.schedule import Schedule


class NoScheduler(FilesOnly):
    """Nothing calls the tick but what you set up yourself."""

    name = "none"
    about = "only registers the schedule; you call `tick`"

    def files(self, schedule: Schedule, place: Place) -> Mapping[Path, str]:
        """See `Kind.files`."""
        return {}

    def switch_on(self, schedule: Schedule, place: Place) -> Iterator[str]:
        """See `Kind.switch_on`."""
        yield f"call every night, in {place.folder}: {shell(place.command('tick'))}"
