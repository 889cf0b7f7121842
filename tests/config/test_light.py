"""Help and a look at the configuration load no library that takes seconds to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.config.groups import groups

HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "mlflow", "optuna", "datasets", "numpy", "scipy", "pandas"}
RUN = """
import runpy, sys
sys.argv = ["sweep", *sys.argv[1:]]
try:
    runpy.run_module("sweep", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
print("EXIT", code, file=sys.stderr)
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def run_sweep(folder: Path, *words: str) -> tuple[str, str, set[str]]:
    """What `python -m sweep` printed, how it ended, and what it had imported."""
    ended = subprocess.run([sys.executable, "-c", RUN, *words], cwd=folder, capture_output=True, text=True, check=True)
    code, loaded = ended.stderr.splitlines()[-2:]
    return ended.stdout, code.removeprefix("EXIT "), set(loaded.split()[1:])


@pytest.mark.parametrize("words", [("--help",), ("--cfg", "job"), ("+study=pharma", "--cfg", "job"), ("lora.rr=1",)])
def test_nothing_heavy_is_imported(tmp_path: Path, words: tuple[str, ...]) -> None:
    _, code, loaded = run_sweep(tmp_path, *words)
    assert code == ("2" if words == ("lora.rr=1",) else "0")
    assert "sweep" in loaded
    assert not loaded & HEAVY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("help",), ("help", "lora.r"), ("train", "--help"), ("run", "--help")])
def test_help_loads_nothing_heavy_either(tmp_path: Path, words: tuple[str, ...]) -> None:
    _, code, loaded = run_sweep(tmp_path, *words)
    assert code == "0"
    assert not loaded & HEAVY


def test_help_lists_every_group_with_its_options(tmp_path: Path) -> None:
    shown, _, _ = run_sweep(tmp_path, "--help")
    text = " ".join(shown.split())
    for group, names in groups().items():
        assert f" {group} {', '.join(names)}" in text
