"""A request, as handlers and hooks see it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .errors import fail
from .values import Body, Headers, Query, Values


@dataclass
class Request:
    """What a client asks for.

    Attributes:
        path: without the query.
        content: the body as text.
    """

    method: str
    path: str
    query: Query = field(default_factory=Query)
    headers: Headers = field(default_factory=Headers)
    cookies: Values = field(default_factory=Values)
    content: str = ""

    @property
    def body(self) -> Body:
        """The body as a JSON object.

        Raises:
            Problem: 400, if it is none.
        """
        try:
            value = json.loads(self.content)
        except ValueError:
            fail(400, "the body is not JSON")
        return Body(value) if isinstance(value, dict) else fail(400, "the body is not a JSON object")
