"""How a handler ends a request early, and mistakes in the setup of an application."""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn


class SetupError(Exception):
    """A route, hook or error handler cannot be used; raised where it is defined."""


class Problem(Exception):
    """Ends a request with an error status.

    Attributes:
        status: from 400 to 599.
        message: what the client reads, unless an error handler answers.
    """

    def __init__(self, status: int, message: str | None = None) -> None:
        self.status = status
        self.message = phrase(status) if message is None else message
        super().__init__(f"{status} {self.message}")


def fail(status: int, message: str | None = None) -> NoReturn:
    """Ends the request with an error status.

    Raises:
        Problem: always.
    """
    raise Problem(status, message)


def phrase(status: int) -> str:
    """The words of a status in lower case, such as "not found"."""
    try:
        return HTTPStatus(status).phrase.lower()
    except ValueError:
        return "error"
