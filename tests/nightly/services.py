"""Real services on this machine that take notes: a mail server, a web server, and one that never answers."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import Message as Mail
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from benchmarks.faults.ports import HeldPort


class _Inbox(Message):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []

    def handle_message(self, message: Mail) -> None:
        self.mails.append(message)


@contextmanager
def mail_server() -> Iterator[tuple[int, list[Mail]]]:
    """A mail server: its port, and the mails that it has taken."""
    inbox = _Inbox()
    port = HeldPort()
    server = Controller(inbox, hostname="127.0.0.1", port=port.number, ready_timeout=120)
    server.start()
    try:
        yield port.number, inbox.mails
    finally:
        server.stop()


@contextmanager
def web_server() -> Iterator[tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """A web server: its port, and path and content of what was posted to it. It refuses what is posted to `/refused`."""
    posts: list[tuple[str, dict[str, Any]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(500 if self.path.startswith("/refused") else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, posts
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hanging_server() -> Iterator[tuple[int, threading.Event]]:
    """A server that sends a byte now and then, so that no wait for an answer ends by itself: its port, and what ends all answers."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        server.settimeout(0.1)
        taken: list[socket.socket] = []
        while not stop.wait(0.2):
            with suppress(TimeoutError):
                taken.append(server.accept()[0])
            if stop.is_set():
                break
            for connection in taken:
                with suppress(OSError):
                    connection.sendall(b"H")
        for connection in taken:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1], stop
        finally:
            stop.set()
            thread.join()
