"""One sweep of a study at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from sweep.errors import StudyBusy
from sweep.store.paths import Paths


@contextmanager
def study_lock(paths: Paths, study: str) -> Iterator[None]:
    """Holds the study's lock; the system frees it even if this process is killed.

    Raises:
        StudyBusy: another process holds it.
    """
    file = paths.lock(study)
    file.parent.mkdir(parents=True, exist_ok=True)
    owner = file.with_suffix(".pid")
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = owner.read_text().strip() if owner.exists() else "unknown"
        raise StudyBusy(
            f"a sweep of study '{study}' is already running here (process {holder}); wait for it, stop it with "
            f"`kill {holder}` (it keeps what is finished), or give this one another name: study.name=OTHER"
        ) from None
    try:
        owner.write_text(str(os.getpid()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
