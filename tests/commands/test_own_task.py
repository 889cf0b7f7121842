"""A task of one's own in the real command, whose worker is a process that has to find it too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tasks.test_registry import HEAD, LOAD, METRIC


@pytest.mark.slow
def test_workers_find_a_task_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    # a package of this name, in a folder where Python looks first
    (folder / "__init__.py").write_text("raise SystemExit('this is not the package tasks of the project')")
    (folder / "weather.py").write_text(f"{HEAD}{LOAD}{METRIC}TASK = Task(load=load, metric=first_letter)")
    words = ["task=weather", "model=tiny", "train.steps=2", "evaluate.examples=4", "evaluate.general_paragraphs=0"]
    ended = subprocess.run(
        [sys.executable, "-m", "sweep.train", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (result,) = (
        file for file in tmp_path.glob("mlruns/trials/*/*/result.json") if json.loads(file.read_text())["spec"]["arm"]
    )
    assert "weather:first_letter" in json.loads(result.read_text())["measures"]["metrics"]
