"""A response, and the functions that make one."""

from __future__ import annotations

import json as _json
from dataclasses import dataclass, field

from .values import Headers, Values


@dataclass
class Response:
    """What a client receives.

    Attributes:
        cookies: those to be set.
    """

    status: int = 200
    content: str = ""
    headers: Headers = field(default_factory=Headers)
    cookies: Values = field(default_factory=Values)

    def header(self, name: str, value: object) -> Response:
        """Sets a header, and returns the same response."""
        self.headers[name] = str(value)
        return self

    def cookie(self, name: str, value: object) -> Response:
        """Sets a cookie, and returns the same response."""
        self.cookies[name] = str(value)
        return self


def text(content: object, status: int = 200) -> Response:
    """A response of plain text."""
    return Response(status, str(content)).header("Content-Type", "text/plain")


def json(value: object, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(status, _json.dumps(value)).header("Content-Type", "application/json")


def empty(status: int = 204) -> Response:
    """A response without content."""
    return Response(status)


def redirect(to: str, status: int = 302) -> Response:
    """Sends the client to another address: 302 for now, 301 for good."""
    return Response(status).header("Location", to)
