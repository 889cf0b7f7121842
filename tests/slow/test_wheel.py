"""The installed wheel in an empty folder: no checkout around it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked where nothing else is; dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_configuration_data_and_tasks_are_in_the_wheel(installed: Path) -> None:
    for name in (
        "sweep/conf/sweep.yaml",
        "sweep/conf/study/pharma.yaml",
        "tasks/pharma/data/train.jsonl",
        "sweep/py.typed",
        "sweep/verdict/verdict.schema.json",
        "sweep/reports/page/template/page.html.j2",
    ):
        assert (installed / name).is_file(), name


def test_a_study_of_ones_own_runs_in_an_empty_folder(installed: Path, tmp_path: Path, made_task: Path) -> None:
    study = tmp_path / "conf" / "study"
    study.mkdir(parents=True)
    (study / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /task: jsonl\n  - override /model: tiny\n"
        f"study:\n  name: mine\ntask:\n  path: {made_task}\nsearch:\n  trials: 1\ntrain:\n  steps: 3\n"
        "certify:\n  ladder: [2, 4]\n  seeds: 2\n  rate_trials: 1\n"
    )
    source = run(installed, tmp_path, "sweep", "+study=mine", "evaluate.examples=4")
    assert source.returncode == 0, source.stdout + source.stderr
    assert (tmp_path / "mlruns" / "reports" / "mine" / "verdict.json").is_file()
    assert (tmp_path / "mlruns" / "reports" / "mine" / "index.html").is_file()
    located = subprocess.run(
        [sys.executable, "-c", "import sweep; print(sweep.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert located.stdout.startswith(str(installed)), "the checkout was tested instead of the wheel"


def test_help_and_cfg_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "pharma" in run(installed, tmp_path, "sweep", "--help").stdout
    assert run(installed, tmp_path, "sweep", "+study=pharma", "--cfg", "job").returncode == 0
