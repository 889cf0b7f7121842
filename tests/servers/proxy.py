"""A TCP proxy on loopback whose faults are switched on and off: the server behind it is real and stays as it is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from benchmarks.faults.ports import HeldPort

_CHUNK = 65536


@dataclass
class Faults:
    """What the proxy does to traffic from now on.

    Attributes:
        away: connections are refused, and open ones are cut.
        silent: connections are accepted, and nothing is passed on.
        delay: seconds by which each answer is late.
        answer: the status of an HTTP server that answers requests with it; 0 passes all on.
        answer_to: called with what a client sends; whether it is answered so.
        cut: called with what a client sends; True passes it on, and cuts the connection instead of passing on the answer.
        lose: called with what a client sends; True cuts the connection instead of passing it on.
        hold: called with what a client sends, which is passed on once it returns; returns whether that was late.
    """

    away: bool = False
    silent: bool = False
    delay: float = 0.0
    answer: int = 0
    answer_to: Callable[[bytes], bool] = field(default=lambda sent: True)
    cut: Callable[[bytes], bool] = field(default=lambda sent: False)
    lose: Callable[[bytes], bool] = field(default=lambda sent: False)
    hold: Callable[[bytes], bool] = field(default=lambda sent: False)


class Proxy:
    """Passes connections on to a server of this machine.

    Attributes:
        faults: what is wrong at the moment.
        sent: what clients have sent, in order.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.faults = Faults()
        self.sent: list[bytes] = []
        self._open: set[socket.socket] = set()
        self._port = HeldPort()
        self._listener = self._listen()

    @property
    def port(self) -> int:
        """Where it listens, before and after every fault."""
        return self._port.number

    @contextmanager
    def faulty(self, **faults: object) -> Iterator[None]:
        """These faults, for the length of the block."""
        self.break_(**faults)
        try:
            yield
        finally:
            self.repair()

    def break_(self, **faults: object) -> None:
        """These faults from now on."""
        self.faults = Faults(**faults)  # type: ignore[arg-type]
        if self.faults.away:
            self.close()

    def repair(self) -> None:
        """No faults from now on; connections that were silent are cut."""
        before, self.faults = self.faults, Faults()
        if before.away:
            self._listener = self._listen()
        if before.silent:
            self._cut_all()

    def close(self) -> None:
        """Refuses connections, and cuts open ones."""
        _shut(self._listener)
        self._listener.close()
        self._cut_all()

    def _listen(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(50)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _cut_all(self) -> None:
        for each in list(self._open):
            _shut(each)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server_port), 10) as server:
                server.settimeout(None)
                self._open.add(server)
                if self.faults.away:  # since it was accepted: whoever cut the open connections may have missed it
                    return
                cut = threading.Event()
                back = threading.Thread(target=self._answers, args=(server, client, cut), daemon=True)
                back.start()
                if self._requests(client, server, cut):
                    back.join(60)  # a server that notices that nobody waits any more would leave it undone
                _shut(server)
                back.join(10)
                self._open.discard(server)
        finally:
            self._open.discard(client)

    def _requests(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> bool:
        """Passes on what the client sends, until it ends; returns whether some of it was late."""
        is_late = False
        while chunk := client.recv(_CHUNK):
            self.sent.append(chunk)
            if self.faults.answer and self.faults.answer_to(chunk):
                self._refuse(client, chunk)
                break
            if self.faults.silent:
                continue
            if self.faults.lose(chunk):
                _shut(client)
                break
            if self.faults.cut(chunk):
                cut.set()
            is_late |= self.faults.hold(chunk)
            server.sendall(chunk)
        return is_late

    def _answers(self, server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while chunk := server.recv(_CHUNK):
                if cut.is_set():
                    break
                if self.faults.silent:
                    continue
                if self.faults.delay:
                    time.sleep(self.faults.delay)
                client.sendall(chunk)
        _shut(client)

    def _refuse(self, client: socket.socket, first: bytes) -> None:
        """Answers with a status as a server does: after it has read the request."""
        head, _, body = first.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        got = len(body)
        while got < length and (chunk := client.recv(_CHUNK)):
            got += len(chunk)
        text = b"made up by the proxy"
        client.sendall(
            b"HTTP/1.1 %d Fault\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (self.faults.answer, len(text), text)
        )


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
