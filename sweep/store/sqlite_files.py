"""A write-ahead log for this project's own SQLite files, so that a small commit takes a fraction of a millisecond.

With the log (https://www.sqlite.org/wal.html) a commit appends to a file and does not wait for the disk. A killed process loses
nothing, a power failure at most the last moments, and the file stays intact; the next run records again what was lost, since
finished trials are folders. Files that others own stay unchanged, as do files on network file systems, where the log is unsafe.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

_LOCAL = frozenset(
    [
        "apfs",
        "bcachefs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfs",
        "jfs",
        "ntfs",
        "overlay",
        "ramfs",
        "refs",
        "reiserfs",
        "tmpfs",
        "ufs",
        "xfs",
        "zfs",
    ]
)
"""Local file systems: all processes that open a file are on one machine."""

_PATIENCE_SECONDS = 2.0
_ours: set[Path] = set()


def write_ahead(file: Path) -> bool:
    """Turns on the write-ahead log of one of this project's files, which is created if it does not exist.

    Returns whether it is on. An error is not reported here: whoever opens the database next will meet it.
    """
    if not _is_local(file):
        return False
    try:
        with closing(sqlite3.connect(file, timeout=_PATIENCE_SECONDS)) as database:
            (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.Error:
        return False
    if mode != "wal":
        return False
    _listen()
    _ours.add(file.resolve())
    return True


def _is_local(file: Path) -> bool:
    folder = file.resolve().parent
    mounts = {Path(mount.mountpoint): mount.fstype.lower() for mount in psutil.disk_partitions(all=True)}
    holding = [mount for mount in mounts if folder.is_relative_to(mount)]
    return bool(holding) and mounts[max(holding, key=lambda mount: len(mount.parts))] in _LOCAL


def _listen() -> None:
    """Once per process: makes SQLAlchemy's connections to our files not wait for the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _connected):
        event.listen(Engine, "connect", _connected)


def _connected(connection: Any, _: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    opened = {Path(name).resolve() for _, _, name in connection.execute("PRAGMA database_list") if name}
    if opened & _ours:
        connection.execute("PRAGMA synchronous = NORMAL")
