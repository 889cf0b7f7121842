"""Whoever starts a command may name a file for the error with which it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = """
import sys
from sweep.console.command import run
from sweep.errors import EnvironmentLacks

def command():
    raise EnvironmentLacks(["postgresql://me:planted-4711@db/x is away", "caf\\udce9.jsonl is damaged"])

sys.exit(run(command))
"""


def test_the_error_is_written_without_secrets(tmp_path: Path) -> None:
    for file in (tmp_path / "error.txt", tmp_path / "no folder" / "error.txt"):
        ended = subprocess.run(
            [sys.executable, "-c", COMMAND],
            env={"GOLDILOCKS_ERROR_FILE": str(file), "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 3, ended.stderr
        assert ended.stderr.startswith("This machine lacks something:\n")
    assert (tmp_path / "error.txt").read_text() == "postgresql://***@db/x is away\ncaf\\udce9.jsonl is damaged"
