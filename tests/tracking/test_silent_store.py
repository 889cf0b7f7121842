"""A database that accepts connections and never answers holds whoever reads an experiment for a while only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

READ = """
import sys
from sweep.errors import EnvironmentLacks
from sweep.store import server_errors
from sweep.tracking import stored_experiment
server_errors._ANSWER_SECONDS = 1
try:
    stored_experiment(sys.argv[1], "driven")
except EnvironmentLacks as error:
    print(error)
"""
HIDDEN = "Sekret"


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
def test_reading_from_a_silent_mysql_ends(silent_port: int) -> None:
    """In a process of its own, since the limits are for all connections of a process."""
    ended = subprocess.run(
        [sys.executable, "-c", READ, f"mysql+pymysql://ann:{HIDDEN}@127.0.0.1:{silent_port}/mlflow"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        timeout=240,
        check=True,
    )
    assert "the study's MLflow runs in mysql+pymysql://" in ended.stdout
    assert "cannot be read: " in ended.stdout
    assert "tracking=memory://" in ended.stdout
    assert HIDDEN not in ended.stdout
