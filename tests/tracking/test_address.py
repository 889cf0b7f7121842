from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.errors import ConfigurationError
from sweep.store.paths import Paths
from sweep.tracking import open_tracker
from sweep.tracking.address import address_of
from sweep.tracking.memory_tracker import MemoryTracker


def test_a_relative_database_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = address_of("sqlite:///mlruns/mlflow.db")
    assert address.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert address.database == tmp_path / "mlruns/mlflow.db"
    assert address_of(address.uri) == address


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///data/mlruns", "/data/mlruns", "", "C:\\runs"])
def test_a_plain_folder_is_refused_with_a_database_instead(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///mlruns/mlflow\.db"):
        address_of(uri)


@pytest.mark.parametrize(
    "uri",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a%20b/x.db", "sqlite:///x.db?mode=ro", "ftp://host/x"],
)
def test_stores_that_cannot_keep_runs_are_refused(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///mlruns/mlflow\.db"):
        address_of(uri)


@pytest.mark.parametrize("uri", ["http://", "http://host:port", "https:///path", "postgresql://u:secret@host:port/db"])
def test_an_incomplete_address_is_refused_without_showing_its_password(uri: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        address_of(uri)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "shown", "endpoint"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("https://token123@mlflow.example/x", "https://mlflow.example/x", ("mlflow.example", 443)),
        ("postgresql+psycopg2://u:p%40w@db/mlflow?password=x", "postgresql+psycopg2://db/mlflow", ("db", 5432)),
        ("mysql://u:p@db:3307/mlflow", "mysql://db:3307/mlflow", ("db", 3307)),
        ("postgresql:///mlflow", "postgresql:///mlflow", None),
    ],
)
def test_servers_and_databases(uri: str, shown: str, endpoint: tuple[str, int] | None) -> None:
    address = address_of(uri)
    assert (address.uri, address.shown, address.endpoint) == (uri, shown, endpoint)


def test_secrets_are_masked_in_any_text() -> None:
    address = address_of("postgresql://ann:p%40ss@db/mlflow?sslpassword=hidden")
    text = address.without_secrets(f"no {address.uri}, password p@ss or p%40ss, sslpassword=hidden")
    assert not [secret for secret in ("p@ss", "p%40ss", "hidden", "ann") if secret in text]
    assert "postgresql://db/mlflow" in text


def test_memory_needs_no_store(tmp_path: Path) -> None:
    assert isinstance(open_tracker("memory://", Paths(tmp_path), "made"), MemoryTracker)
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_address_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    words = ["tracking.uri=nonsense", "seed=x"]
    done = subprocess.run(
        [sys.executable, "-m", "sweep.train", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "tracking.uri: " in done.stderr
    assert "seed=x" in done.stderr
    assert list(tmp_path.iterdir()) == []
