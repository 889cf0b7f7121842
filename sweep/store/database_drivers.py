"""The kinds of databases that `storage.url` and `tracking.uri` accept, and the Python package that each driver needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from sweep.console.suggest import did_you_mean

KINDS = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
"""Kinds that SQLAlchemy supports; a driver may follow, as in `mysql+pymysql`."""

PACKAGES: Mapping[str, str] = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "PyMySQL",
    "mysql": "mysql-connector-python",
}
"""The package of a driver's module, where the names differ."""

_URL = re.compile(r"(?P<kind>[A-Za-z0-9_]+)(\+[A-Za-z0-9_]+)?://", re.ASCII)
_EASIER = {"MySQLdb": "; or write mysql+pymysql://, and install PyMySQL, which needs no compiler"}


def url_problem(key: str, url: str, kinds: Sequence[str] = KINDS) -> str | None:
    """Describes what is wrong with a database URL; None if nothing is. Only the URL's kind is repeated: it may hold a password."""
    match = _URL.match(url)
    if match is None:
        return f"{key}: this is not a database URL; write {key}=sqlite:////FOLDER/FILE.db, or postgresql://USER@HOST/DATABASE"
    kind = match["kind"]
    if kind.lower() in kinds:
        return None
    return f"{key}: there is no database of the kind '{kind}'{did_you_mean(kind, kinds)} (known: {', '.join(kinds)})"


def package_of(module: str) -> str:
    """The package to install for a driver's module."""
    return PACKAGES.get(module, module)


def missing_driver(key: str, url: str, error: BaseException) -> str | None:
    """Says what to install if `error` was caused by a driver that is not installed; else None."""
    for cause in _causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            module = cause.name.partition(".")[0]
            return (
                f"{key}: {url.partition('://')[0]}:// needs the Python package {package_of(module)}; "
                f"python -m pip install {shlex.quote(package_of(module))}{_EASIER.get(module, '')}"
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
