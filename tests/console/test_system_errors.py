"""Errors of the operating system become words and exit code 3; others stay what they are."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.console.command import run
from sweep.console.system_errors import explained, lack_of_machine


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "chmod"),
        (errno.EROFS, "can be written"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_the_command_ends_in_words(number: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise OSError(number, os.strerror(number), "mlruns/file")

    assert run(command) == 3
    error = capsys.readouterr().err
    assert f"mlruns/file: {os.strerror(number)}" in error
    assert said in error


def test_the_number_in_the_text_of_an_error_of_a_library_in_rust() -> None:
    error = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert str(lack_of_machine(error)).startswith("No space left on device; free space there")
    assert lack_of_machine(RuntimeError("the text names no number")) is None
    assert lack_of_machine(RuntimeError("an unknown one (os error 9999)")) is None
    assert lack_of_machine(ValueError("shapes differ")) is None


def test_the_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(OSError, match="mlruns") as caught:
        (tmp_path / "mlruns" / "hydra" / "today").mkdir()
    assert str(explained(caught.value)).startswith(f"{tmp_path}/mlruns: Not a directory; move away the file")


def test_other_errors_are_not_explained_away() -> None:
    assert explained(OSError(errno.ECHILD, "no child")) is None
    assert explained(OSError("no number")) is None

    def command() -> None:
        raise OSError("no number")

    with pytest.raises(OSError, match="no number"):
        run(command)


@pytest.mark.parametrize("module", ["sweep", "sweep.train"])
def test_a_file_in_place_of_mlruns(module: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", module, "model=tiny"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "mlruns: Not a directory; move away the file" in done.stderr
    assert "Traceback" not in done.stderr
