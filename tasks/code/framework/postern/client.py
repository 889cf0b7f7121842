"""A client that hands requests to an application without sockets, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from .app import App
from .request import Request
from .response import Response
from .values import Headers, Query, Values


class Client:
    """Sends requests to an application, and keeps the cookies that it sets."""

    def __init__(self, app: App, cookies: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.cookies = Values(cookies or {})

    def send(
        self, method: str, address: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The response to a request.

        Args:
            address: path and query, such as "/orders?page=2".
            body: sent as JSON, unless it is None.
        """
        parts = urlsplit(address)
        query = Query(parse_qsl(parts.query, keep_blank_values=True))
        content = "" if body is None else json.dumps(body)
        request = Request(method.upper(), parts.path, query, Headers(headers), Values(self.cookies), content)
        response = self.app.handle(request)
        self.cookies.update(response.cookies)
        return response

    def get(self, address: str) -> Response:
        """The response to a GET request."""
        return self.send("GET", address)

    def post(self, address: str, body: object) -> Response:
        """The response to a POST request."""
        return self.send("POST", address, body)


def outline(
    app: App,
    request: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    show: Sequence[str] = (),
) -> list[object]:
    """A response as plain data: its status, its type ("text", "json" or none), its content, and headers or cookies.

    Args:
        request: method and address, such as "GET /orders?page=2".
        show: names of headers and of cookies whose values follow, None where there is none.
    """
    method, address = request.split(" ", 1)
    response = Client(app, cookies).send(method, address, body, headers)
    kind = {"text/plain": "text", "application/json": "json"}.get(response.headers.get("Content-Type", ""), "")
    content = json.loads(response.content) if kind == "json" else response.content
    return [response.status, kind, content, *(response.cookies.get(name, response.headers.get(name)) for name in show)]
