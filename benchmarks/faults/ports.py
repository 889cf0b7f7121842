"""Ports of this machine for servers that are started, killed and started again."""

from __future__ import annotations

import os
import socket
import sys
import weakref


class HeldPort:
    """A port of loopback that nobody else is given until this object is gone.

    While no server listens there, connections are refused. A server that reuses addresses, as most do, can listen there at any time.
    A port that is only looked up may belong to another process, or to a connection of one, before its server listens there.

    Attributes:
        number: of the port.
    """

    def __init__(self) -> None:
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            self.number = int(held.getsockname()[1])
            if sys.platform == "linux":  # elsewhere a server could not listen beside it
                weakref.finalize(self, os.close, held.detach())
