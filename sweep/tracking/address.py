"""The addresses that `tracking.uri` accepts: checked, made absolute, and shown without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sweep.console.masking import mask
from sweep.errors import ConfigurationError

MEMORY = "memory://"
SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SUGGESTION = (
    "write a database such as sqlite:///mlruns/mlflow.db, a server such as http://127.0.0.1:5000, "
    "or memory:// to record nothing"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A store that sweeps can be recorded in.

    Attributes:
        uri: the address for MLflow, absolute, with credentials: never show it.
        kind: the scheme without a driver: `memory`, `sqlite`, `http`, `https`, `postgresql`, `mysql` or `mssql`.
        database: the file of a SQLite store, else None.
    """

    uri: str
    kind: str
    database: Path | None = None

    @property
    def shown(self) -> str:
        """The address without account and query, for logs, links and messages."""
        if self.database is not None:
            return self.uri
        parts = urlsplit(self.uri)
        # an account without a password can be a token
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port, or None for a local store."""
        parts = urlsplit(self.uri)
        return (parts.hostname, parts.port or _PORTS[self.kind]) if parts.hostname and self.kind in _PORTS else None

    def without_secrets(self, text: str) -> str:
        """The text with this address and its secrets masked."""
        text = text.replace(self.uri, self.shown)
        parts = urlsplit(self.uri)
        account = parts.netloc.rpartition("@")[0]
        for secret in (account, parts.query, parts.password, unquote(parts.password or "")):
            text = text.replace(secret, "***") if secret else text
        return text


def address_of(uri: str) -> Address:
    """The store that a `tracking.uri` names; a relative SQLite file is relative to the current folder.

    Raises:
        ConfigurationError: no store of that kind is supported, or the address is incomplete.
    """
    uri = uri.strip()
    if uri == MEMORY:
        return Address(uri, "memory")
    scheme, separator, rest = uri.partition("://")
    kind = scheme.lower().partition("+")[0]
    if not separator or kind == "file":
        raise ConfigurationError(
            f"tracking.uri: '{mask(uri)}' is not the address of a store (MLflow no longer keeps runs in plain folders): {_SUGGESTION}"
        )
    if kind == "sqlite":
        return _sqlite(uri, scheme, rest)
    if kind not in (*SERVERS, *DATABASES):
        raise ConfigurationError(f"tracking.uri: '{scheme}://' is not supported: {_SUGGESTION}")
    address = Address(uri, kind)
    try:
        complete = address.endpoint is not None or kind in DATABASES
    except ValueError:  # the port is not a number
        complete = False
    if not complete:
        raise ConfigurationError(
            f"tracking.uri: '{scheme}://...' needs a host and, if any, a numeric port: {_SUGGESTION}"
        )
    return address


def _sqlite(uri: str, scheme: str, rest: str) -> Address:
    name = rest.removeprefix("/")
    if not rest.startswith("/") or name in ("", ":memory:"):
        raise ConfigurationError(f"tracking.uri: '{mask(uri)}' names no file: {_SUGGESTION}")
    path = Path(name).expanduser().absolute()
    # SQLAlchemy 2.1 decodes such names and 2.0 does not, so `mlflow ui` could open another file
    if re.search(r"\?|%[0-9A-Fa-f]{2}", str(path)):
        raise ConfigurationError(f"tracking.uri: the path of '{mask(uri)}' may not contain '?' or '%': {_SUGGESTION}")
    return Address(f"{scheme}:///{path}", "sqlite", path)
