"""Masks passwords and tokens in everything that is printed or recorded.

Accounts and queries in addresses are masked by their form. Known secrets (from the command line, the environment and the
configuration) are masked as plain text too, in whatever message a library puts them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote, unquote_plus

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?!/)(?P<account>\S*)@", re.IGNORECASE)
_QUERY = re.compile(r"(?P<address>[a-z][a-z0-9+.-]*://[^\s?]*)\?(?P<query>\S+?)(?=['\"]*(?:\s|$))", re.IGNORECASE)
# addresses whose scheme was mistyped
_BARE_CREDENTIALS = re.compile(r"(?<![^\s='\"(\[,/])[^\s='\"(\[,/:@]+:(?!//)\S*@(?=[\w\[])")
_BARE_QUERY = re.compile(r"\?(?=[\w.%-]+=)\S+?(?=['\"]*(?:\s|$))")
_OF_A_PAGE = re.compile(r"(?:viewStateShareKey|compareRunsMode|workflowType)=[\w-]+(?:&|$)")
"""Parts of the addresses of MLflow's pages that say what is shown, and are no secrets."""
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|(API|ACCESS|SECRET|PRIVATE)_?KEY)$", re.IGNORECASE)

_SHORTEST = 4
"""Shorter secrets would be masked inside other words."""
_SHORTEST_NAME = 12
"""From this length on, an account without a password counts as a token, and a query's value as a secret."""


def mask(text: str) -> str:
    """The text with accounts and queries of addresses replaced: `postgresql://***@host/db?***`, and all known secrets.

    The account extends to the last `@`, since a password may contain any character.
    """
    text = _CREDENTIALS.sub(lambda match: f"{match['scheme']}***@", text)
    text = _QUERY.sub(lambda match: f"{match['address']}{_masked_query('?' + match['query'])}", text)
    text = _BARE_QUERY.sub(lambda match: _masked_query(match[0]), _BARE_CREDENTIALS.sub("***@", text))
    return _known.masked(text)


def _masked_query(query: str) -> str:
    """`?***`, unless every part is known to be no secret."""
    return query if not _OF_A_PAGE.sub("", query.removeprefix("?")) else "?***"


def hide(*texts: str | None) -> None:
    """Adds the secrets in these addresses or words to those that `mask` replaces."""
    for text in texts:
        _known.add(_secrets_in(text or ""))


def hide_values(variables: Mapping[str, str]) -> None:
    """Adds what a file of variables holds: values whose names say so, and secrets in addresses."""
    hide(*variables.values())
    _known.add(value for name, value in variables.items() if _SECRET_NAME.search(name))


def mask_output() -> None:
    """Masks everything that this process prints from now on, tracebacks included.

    Secrets of the command line and the environment are added to those that `mask` replaces.
    """
    hide(*sys.argv[1:], *os.environ.values())
    _known.add(value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    sys.stdout, sys.stderr = _masked(sys.stdout), _masked(sys.stderr)


def _masked(stream: TextIO) -> TextIO:
    # a process may have no standard streams
    return stream if stream is None or isinstance(stream, MaskedStream) else cast(TextIO, MaskedStream(stream))


class MaskedStream:
    """A text stream that masks what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the masked text; returns the length of the given text, as other streams do."""
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes all lines, masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Known:
    """The secrets of this process, plain and URL-encoded."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret), quote(secret))}
        new = {form for form in forms if len(form) >= _SHORTEST} - self._secrets
        if not new:
            return
        self._secrets |= new
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        # a display may have broken a long word
        self._pattern = re.compile("|".join(r"\n?".join(map(re.escape, secret)) for secret in longest_first))

    def masked(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub("***", text)


_known = _Known()


def _secrets_in(text: str) -> Iterator[str]:
    for match in _CREDENTIALS.finditer(text):
        account = match["account"]
        _, colon, password = account.partition(":")
        if colon:
            yield from (account, password)
        elif len(account) >= _SHORTEST_NAME:
            yield account
    for match in _QUERY.finditer(text):
        query = match["query"]
        yield query
        for pair in re.split("[&;]", query):
            name, _, value = pair.partition("=")
            if _SECRET_NAME.search(name) or len(value) >= _SHORTEST_NAME:
                yield value
