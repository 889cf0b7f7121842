"""Masks passwords and tokens in what is printed or recorded.

Three rules. `mask` is for addresses of ours and texts of libraries (errors, logs, tracebacks): it masks what looks like an account or a
query, and every known secret (from the command line, the environment and the configuration). What else a command prints may be
a row of data or an answer of a model, which looks like anything: there only known secrets are masked that no text holds by chance.
`mask_quoted` is for records and messages, which may quote such text and outlive the process: passwords in whole addresses are masked too.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote, unquote_plus

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?!/)(?P<account>\S*)@", re.IGNORECASE)
_QUERY = re.compile(r"(?P<address>[a-z][a-z0-9+.-]*://[^\s?]*)\?(?P<query>\S+?)(?=['\"]*(?:\s|$))", re.IGNORECASE)
# addresses whose scheme was mistyped
_BARE_CREDENTIALS = re.compile(r"(?<![^\s='\"(\[,/])[^\s='\"(\[,/:@]+:(?!//)\S*@(?=[\w\[])")
_BARE_QUERY = re.compile(r"\?(?=[\w.%-]+=)\S+?(?=['\"]*(?:\s|$))")
# what only an address with a password looks like
_WHOLE_CREDENTIALS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^\s/?#@:]*:[^\s/?#@]*|[^\s/?#@:]{12,})@", re.IGNORECASE
)
_SECRET_PARAMETER = re.compile(
    r"(?P<name>[?&][\w.-]*(?:PASSWORD|PASSWD|TOKEN|SECRET|(?:API|ACCESS|SECRET|PRIVATE)_?KEY)=)[^\s&'\"]+",
    re.IGNORECASE,
)
_OF_A_PAGE = re.compile(r"(?:viewStateShareKey|compareRunsMode|workflowType)=[\w-]+(?:&|$)")
"""Parts of the addresses of MLflow's pages that say what is shown, and are no secrets."""
_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|TOKEN|SECRET|(API|ACCESS|SECRET|PRIVATE)_?KEY)$", re.IGNORECASE)

_SHORTEST = 4
"""Shorter secrets are not masked alone."""
_SHORTEST_BY_CHANCE, _SHORTEST_WORD = 8, 12
"""Shorter secrets, and shorter ones of letters alone, may be ordinary words (`test`, `postgres`): they stay in data and answers."""
_SWITCHES = ("true", "false", "none", "null")
"""Values of variables such as `X_TOKEN` that are no secrets."""
_TEXT_KEYS = ("prompt", "task.system_prompt", "task.limits")
"""Keys of the command line whose values are text, in which nothing is an address."""
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


def without_secrets(text: str) -> str:
    """The text, which may be data, with the known secrets masked that are no ordinary words."""
    return _known.masked_where_certain(text)


def mask_quoted(text: str) -> str:
    """The text, which may quote data or words of the user, without known secrets and the passwords of whole addresses.

    `Contact:info@pharma.de` and `?id=3` stay, so that what a record quotes is what was given.
    """
    text = _WHOLE_CREDENTIALS.sub(lambda match: f"{match['scheme']}***@", text)
    return without_secrets(_SECRET_PARAMETER.sub(lambda match: f"{match['name']}***", text))


def mask_word(word: str) -> str:
    """A word of a command line, masked as `mask` does unless its value is text."""
    return mask_quoted(word) if _is_text(word) else mask(word)


def _is_text(word: str) -> bool:
    key, _, value = word.lstrip("+").partition("=")
    return key in _TEXT_KEYS or (key.endswith(".path") and "://" not in value)


def hide(*texts: str | None) -> None:
    """Adds the secrets in these addresses or words to the known ones."""
    for text in texts:
        _known.add(_secrets_in(text or ""))
        if text and not re.search(r"\s", text):  # one word, such as `tracking.uri=postgres:/me:secret@host`
            _known.add(_secrets_of_mistyped(text))


def hide_values(variables: Mapping[str, str]) -> None:
    """Adds what variables hold: values whose names say so, and secrets in addresses."""
    for name, value in variables.items():
        _known.add(_secrets_in(value))
        if _SECRET_NAME.search(name) and value.lower() not in _SWITCHES:
            _known.add([value])


def mask_output() -> None:
    """Masks the known secrets in everything that this process prints from now on, and tracebacks and log records as `mask` does.

    Secrets of the command line and the environment become known.
    """
    _mask_streams(without_secrets)
    sys.excepthook = lambda *error: sys.stderr.write(mask("".join(traceback.format_exception(*error))))
    threading.excepthook = _print_thread_error
    logging.setLogRecordFactory(_masked_record)


def mask_log() -> None:
    """As `mask_output`, for a process whose output is a log of libraries: all of it is masked as `mask` does."""
    _mask_streams(mask)


def _mask_streams(masked: Callable[[str], str]) -> None:
    hide(*(word for word in sys.argv[1:] if not _is_text(word)))
    hide_values(os.environ)
    sys.stdout, sys.stderr = _masked(sys.stdout, masked), _masked(sys.stderr, masked)


def _print_thread_error(error: threading.ExceptHookArgs) -> None:
    name = error.thread.name if error.thread else "?"
    shown = "".join(traceback.format_exception(error.exc_type, error.exc_value, error.exc_traceback))
    sys.stderr.write(mask(f"Exception in thread {name}:\n{shown}"))


def _masked_record(*arguments: Any, **named: Any) -> logging.LogRecord:
    record = logging.LogRecord(*arguments, **named)
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # logging reports a wrong format itself
        return record
    if (shown := mask(text)) != text:  # else the arguments stay: some formatters read them
        record.msg, record.args = shown, ()
    return record


def _masked(stream: TextIO, masked: Callable[[str], str]) -> TextIO:
    # a process may have no standard streams
    return stream if stream is None or isinstance(stream, MaskedStream) else cast(TextIO, MaskedStream(stream, masked))


class MaskedStream:
    """A text stream that masks what is written to it."""

    def __init__(self, stream: TextIO, masked: Callable[[str], str] = mask) -> None:
        self._stream = stream
        self._mask = masked

    def write(self, text: str) -> int:
        """Writes the masked text; returns the length of the given text, as other streams do."""
        self._stream.write(self._mask(text))
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
        self._certain: re.Pattern[str] | None = None
        self._words: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret), quote(secret))}
        new = {form for form in forms if len(form) >= _SHORTEST} - self._secrets
        if not new:
            return
        self._secrets |= new
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        # a display may have broken a long word
        self._certain = _any_of(r"\n?".join(map(re.escape, each)) for each in longest_first if _is_certain(each))
        # `test` is not masked within `latest`
        self._words = _any_of(rf"(?<!\w){re.escape(each)}(?!\w)" for each in longest_first if not _is_certain(each))

    def masked(self, text: str) -> str:
        text = self.masked_where_certain(text)
        return text if self._words is None else self._words.sub("***", text)

    def masked_where_certain(self, text: str) -> str:
        return text if self._certain is None else self._certain.sub("***", text)


def _is_certain(secret: str) -> bool:
    """Whether no text is expected to hold these characters by chance; accounts and queries are never ordinary words."""
    if ":" in secret or "=" in secret:
        return True
    return len(secret) >= (_SHORTEST_WORD if secret.isalpha() else _SHORTEST_BY_CHANCE)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(patterns)
    return re.compile(joined) if joined else None


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
        yield from _secrets_of_query(match["query"])


def _secrets_of_mistyped(word: str) -> Iterator[str]:
    """As `_secrets_in`, for an address whose scheme was mistyped or left out."""
    for match in _BARE_CREDENTIALS.finditer(word):
        account = match[0].removesuffix("@")
        yield from (account, account.rpartition("/")[2], account.rpartition(":")[2])
    for match in _BARE_QUERY.finditer(word):
        yield from _secrets_of_query(match[0].removeprefix("?"))


def _secrets_of_query(query: str) -> Iterator[str]:
    yield query
    for pair in re.split("[&;]", query):
        name, _, value = pair.partition("=")
        if _SECRET_NAME.search(name) or len(value) >= _SHORTEST_NAME:
            yield value
