"""Ends connections to a database server that accepts a statement and never answers: drivers would wait for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.pool import Pool

from sweep.store.server_errors import connect_arguments

_SILENT_SECONDS = 60.0
"""The longest wait for the answer to one statement; then the connection counts as lost."""


class SilenceWatch:
    """Watches the connections of an engine, or of all engines of this process.

    The socket of a connection without an answer is shut down, which its driver reports as a lost connection.

    Attributes:
        pool_events: what `create_engine` is to be given as its argument of this name.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Any, float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.pool_events: list[tuple[Callable[..., None], str]] = [
            (lambda connection, record, proxy: self._begin(connection), "checkout"),
            (lambda connection, record: self._end(connection), "checkin"),
        ]

    def everywhere(self) -> None:
        """Watches all engines that this process makes from now on; drivers with limits of their own get those."""

        def connects(dialect: Dialect, record: Any, arguments: list[Any], given: dict[str, Any]) -> None:
            # PyMySQL shows no socket that could be shut down, and waits for a server's greeting, too
            for name, limit in connect_arguments(f"{dialect.name}+{dialect.driver}://").items():
                given.setdefault(name, limit)

        for listener, name in self.pool_events:
            event.listen(Pool, name, listener)
        event.listen(Engine, "do_connect", connects)
        self.each_statement(Engine)

    def each_statement(self, engine: Engine | type[Engine]) -> None:
        """Counts the time from each statement of this engine, rather than from when its connection was taken."""

        def begins(given: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: Any) -> None:
            self._begin(given.connection.dbapi_connection)

        event.listen(engine, "before_cursor_execute", begins)

    def close(self) -> None:
        """Ends the watch until a connection is used again."""
        with self._lock:
            self._ended.set()
            self._thread = None

    def _begin(self, connection: Any) -> None:
        with self._lock:
            self._deadlines[connection] = time.monotonic() + _SILENT_SECONDS
            if self._thread is None:
                self._ended = threading.Event()
                self._thread = threading.Thread(
                    target=self._watch, args=(self._ended,), name="database-watch", daemon=True
                )
                self._thread.start()

    def _end(self, connection: Any) -> None:
        with self._lock:
            self._deadlines.pop(connection, None)  # None for one that was lost: its socket is closed

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(min(1.0, _SILENT_SECONDS / 4)):
            with self._lock:
                late = [each for each, deadline in self._deadlines.items() if time.monotonic() > deadline]
                for connection in late:
                    del self._deadlines[connection]
            for connection in late:
                _shut(connection)


def _shut(connection: Any) -> None:
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
    except Exception:  # noqa: S110 (the connection is closed already, or its driver shows no socket)
        pass
