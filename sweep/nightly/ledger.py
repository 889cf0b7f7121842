"""The ledger of nights: one row for each night of each study of a schedule, in a SQLite file of its own.

A row is written in one transaction, so a process that is killed leaves it whole or absent. A verdict is stored once, under the hash of
its contents: the verdict before a night is as a rule the one after the night before. Beside the nights it holds who was sent which
note, so that a note is not sent twice.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweep.console.masking import mask_quoted
from sweep.errors import EnvironmentLacks
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.night import Night, Outcome
from sweep.store.sqlite_files import write_ahead

_BUSY_SECONDS = 30.0
"""The longest wait for another process that is writing."""

_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS verdicts (digest TEXT PRIMARY KEY, contents TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nights (
    schedule TEXT NOT NULL, date TEXT NOT NULL, study TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    outcome TEXT NOT NULL, exit_code INTEGER, reason TEXT NOT NULL, verdict TEXT REFERENCES verdicts, before TEXT REFERENCES verdicts,
    trained INTEGER NOT NULL, seconds REAL NOT NULL, champion TEXT, PRIMARY KEY (schedule, date, study)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (note TEXT NOT NULL, receiver TEXT NOT NULL, PRIMARY KEY (note, receiver)) WITHOUT ROWID;
"""
_FROM_VERSION_1 = "ALTER TABLE nights ADD COLUMN champion TEXT"
_READ = """
SELECT
    schedule, nights.study, date, started, ended, outcome, exit_code, reason, after.contents, earlier.contents, trained, seconds, champion
FROM nights LEFT JOIN verdicts AS after ON after.digest = verdict LEFT JOIN verdicts AS earlier ON earlier.digest = before
"""
_READ_TIMES = """
SELECT schedule, nights.study, date, started, ended, outcome, exit_code, reason, NULL, NULL, trained, seconds, champion FROM nights
"""


class Ledger:
    """The nights of all schedules.

    Args:
        path: the SQLite file; it is created with the first night that is recorded.

    Every method raises `EnvironmentLacks` if the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, night: Night) -> None:
        """Adds a night; an earlier record of the same schedule, date and study is replaced. Secrets in its reason are masked."""
        with self._writable() as database:
            # one transaction: IMMEDIATE waits for other writers now rather than failing in the middle
            database.execute("BEGIN IMMEDIATE")
            row = (
                *(night.schedule, night.date, night.study, night.started, night.ended, night.outcome.value),
                *(
                    night.exit_code,
                    mask_quoted(night.reason),
                    _kept(database, night.verdict),
                    _kept(database, night.before),
                ),
                *(night.trained, night.seconds, None if night.champion is None else json.dumps(asdict(night.champion))),
            )
            database.execute(f"INSERT OR REPLACE INTO nights VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
            database.execute(
                "DELETE FROM verdicts WHERE digest NOT IN (SELECT verdict FROM nights WHERE verdict IS NOT NULL "
                "UNION SELECT before FROM nights WHERE before IS NOT NULL)"
            )
            database.execute("COMMIT")

    def nights(self, schedule: str | None = None, *, verdicts: bool = True) -> list[Night]:
        """All nights, or those of a schedule, in the order of their dates and starts; empty if there is no file.

        Args:
            verdicts: whether to read the verdicts; without them many nights take no time.
        """
        if not self._path.exists():
            return []
        where, values = ("", ()) if schedule is None else ("WHERE schedule = ?", (schedule,))
        with self._opened() as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'nights'").fetchone():
                return []
            read = _READ if verdicts else _READ_TIMES
            rows = database.execute(f"{read} {where} ORDER BY date, started, schedule, nights.study", values)
            return [_night(row) for row in rows]

    def last(self, schedule: str) -> Night | None:
        """The schedule's latest night, None if it has none."""
        nights = self.nights(schedule)
        return nights[-1] if nights else None

    def told(self, note: str) -> set[str]:
        """The receivers to whom a note was sent.

        Args:
            note: its id (`sweep.nightly.note.note_id`).
        """
        if not self._path.exists():
            return set()
        with self._opened() as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'messages'").fetchone():
                return set()
            return {
                receiver for (receiver,) in database.execute("SELECT receiver FROM messages WHERE note = ?", (note,))
            }

    def add_told(self, note: str, receiver: str) -> None:
        """Records that a note was sent to a receiver.

        Args:
            receiver: in words without secrets.
        """
        with self._writable() as database:
            database.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (note, receiver))

    @contextmanager
    def _writable(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_ahead(self._path)
        with self._opened() as database:
            database.executescript(_TABLES)
            database.execute(f"PRAGMA user_version = {_VERSION}")
            yield database

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            # without a mode of its own for transactions: they are written out here
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version > _VERSION:
                    raise EnvironmentLacks(
                        f"{self._path} was written by a later version of Goldilocks: use that version, or move the file aside"
                    )
                if version == 1:
                    _renew(database)
                yield database
        except sqlite3.Error as error:
            raise EnvironmentLacks(
                f"{self._path}, the ledger of nights, cannot be used ({error}): {_what_to_do(error)}"
            ) from error


def _what_to_do(error: sqlite3.Error) -> str:
    if any(words in str(error) for words in ("disk is full", "disk I/O error")):
        return "free space on its disk; the next tick continues"
    return "check the file's permissions; a damaged file may be moved aside, and a new one is begun"


def _renew(database: sqlite3.Connection) -> None:
    """Brings a file of version 1 to the present one; another process may have done so meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    if database.execute("PRAGMA user_version").fetchone() == (1,):
        database.execute(_FROM_VERSION_1)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.execute("COMMIT")


def _kept(database: sqlite3.Connection, verdict: Mapping[str, Any] | None) -> str | None:
    """Stores a verdict, unless it is stored; returns its digest."""
    if verdict is None:
        return None
    contents = json.dumps(dict(verdict), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(contents.encode()).hexdigest()
    database.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", (digest, contents))
    return digest


def _night(row: tuple[Any, ...]) -> Night:
    schedule, study, date, started, ended, outcome, exit_code, reason, verdict, before, trained, seconds, champion = row
    return Night(
        schedule=schedule,
        study=study,
        date=date,
        started=started,
        ended=ended,
        outcome=Outcome(outcome),
        exit_code=exit_code,
        reason=reason,
        verdict=None if verdict is None else json.loads(verdict),
        before=None if before is None else json.loads(before),
        trained=trained,
        seconds=seconds,
        champion=None if champion is None else ChampionNews(**json.loads(champion)),
    )
