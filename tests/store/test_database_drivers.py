"""A missing driver names the package to install; a wrong URL is a problem of the configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.search.storage import open_storage
from sweep.store.database_drivers import missing_driver, url_problem
from sweep.store.paths import Paths


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/data/optuna.db", "this is not a database URL; write storage.url=sqlite:////FOLDER/FILE.db"),
        ("mysql:secret", "this is not a database URL"),
        ("postgres://me:secret@host/x", "no database of the kind 'postgres'; did you mean 'postgresql'?"),
        ("redis://:secret@host", "no database of the kind 'redis' (known: sqlite, "),
    ],
)
def test_a_wrong_url_is_a_problem_of_the_configuration(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan([f'storage.url="{url}"'])
    (problem,) = caught.value.problems
    assert problem.startswith("storage.url: ")
    assert message in problem
    assert "secret" not in problem


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://h/x", "mysql+pymysql://u:p@h/x", "SQLite:///x"])
def test_known_kinds_are_accepted(url: str) -> None:
    assert url_problem("storage.url", url) is None


@pytest.mark.parametrize(
    ("url", "modules", "package"),
    [
        ("postgresql://me:secret@127.0.0.1:9/x", ("psycopg2", "psycopg"), "psycopg"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:9/x", ("psycopg2",), "psycopg2-binary"),
        ("mysql+pymysql://me:secret@127.0.0.1:9/x", ("pymysql",), "PyMySQL"),
        ("mysql://me:secret@127.0.0.1:9/x", ("MySQLdb",), "mysqlclient"),
    ],
)
def test_a_missing_driver_names_its_package(
    url: str, modules: tuple[str, ...], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentLacks) as caught:
        open_storage(url, Paths(tmp_path))
    (problem,) = caught.value.problems
    assert problem.startswith(f"storage.url: {url.partition(':')[0]}:// needs the Python package {package}")
    assert "python -m pip install" in problem
    assert "secret" not in problem


def test_other_errors_name_no_driver() -> None:
    assert missing_driver("storage.url", "postgresql://h/x", OSError("no route")) is None
