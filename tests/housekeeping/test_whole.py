"""With real adapters, by the commands: the same report and answers where a packed study is opened, and after weights were removed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_stored_study import COMMAND, STORED, decided
from tests.faults.in_process import run_here

pytestmark = pytest.mark.slow


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A study that an earlier version finished, and its data."""
    folder = tmp_path / "first"
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    shutil.copytree(STORED / "data", folder / "data")
    return folder


def command(folder: Path, name: str, *words: str) -> str:
    called = [sys.executable, "-m", f"sweep.{name}", *words]
    done = subprocess.run(called, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answers(folder: Path) -> str:
    return command(
        folder, "predict", "study=stored", "prompt=test 1: the red box", "prompt=nothing", "max_new_tokens=8"
    )


def said(folder: Path) -> tuple[str, Any, str]:
    """What report prints, the verdict and the page, without the time at which they were written."""
    printed = command(folder, "report", "study=stored")
    reports = folder / "mlruns" / "reports" / "stored"
    verdict = json.loads((reports / "verdict.json").read_text())
    page = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", (reports / "index.html").read_text())
    return printed, {**verdict, "created": None}, page


def test_elsewhere_and_after_removal(stored: Path, tmp_path: Path) -> None:
    before, answered, decision = said(stored), answers(stored), decided(stored)
    command(stored, "archive", "study=stored", "file=../stored.zip")
    second = tmp_path / "second"
    second.mkdir()
    assert "study stored is in mlruns" in command(second, "archive", "open=../stored.zip")
    stored.rename(tmp_path / "gone")
    assert (said(second), answers(second)) == (before, answered)
    weights = sorted(second.glob("mlruns/trials/*/*/adapter"))
    assert "Removed " in command(second, "gc", "retention.days=0", "apply=true")
    assert len(list(second.glob("mlruns/trials/*/*/adapter"))) < len(weights)
    assert said(second) == before
    shutil.copytree(STORED / "data", second / "data")
    code, printed = run_here("sweep", COMMAND, second)
    assert code == 0, printed
    assert "certify 1 of" not in printed
    assert "trial 1 of" not in printed
    assert decided(second) == decision
