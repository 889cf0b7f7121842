"""How this project's own SQLite files are written: many small commits, each of which costs a fraction of a millisecond.

With a write-ahead log (https://www.sqlite.org/wal.html) a commit appends to a file and does not wait for the disk; a killed
process loses nothing, a machine without power at most the last moments, and the file stays whole. What is lost then is told
again by the next call, since a finished trial is its folder. Files that others own, and files on network file systems (where a
write-ahead log is unsafe), stay as they are.
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
"""File systems on which all processes that open a file are on one machine."""

_PATIENCE_SECONDS = 2.0
_ours: set[Path] = set()


def write_ahead(file: Path) -> bool:
    """Gives a file of this project's a write-ahead log, from now on; makes the file if there is none.

    Answers whether it has one. Whatever stands in the way is left for whoever opens the database to say.
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
    """Once a process: each connection that SQLAlchemy opens to one of our files is told not to wait for the disk."""
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
