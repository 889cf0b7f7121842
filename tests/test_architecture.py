"""Rooms import only what the design lets them: the contracts of `[tool.importlinter]` in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROOMS = {folder.name for folder in (ROOT / "sweep").iterdir() if (folder / "__init__.py").exists()}


def lint(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("contract", [contract["id"] for contract in CONTRACTS])
def test_contract_is_kept(contract: str) -> None:
    linted = lint("--contract", contract)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_broken_contract_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text(
        "[importlinter]\nroot_packages =\n    sweep\n\n[importlinter:contract:1]\nname = wrong\ntype = forbidden\n"
        "source_modules =\n    sweep.store\nforbidden_modules =\n    sweep.records\n"
    )
    linted = lint("--config", str(tmp_path / "setup.cfg"))
    assert linted.returncode != 0
    assert "sweep.store.identity -> sweep.records" in linted.stdout


def test_every_room_has_a_layer() -> None:
    (rooms,) = (contract for contract in CONTRACTS if contract["id"] == "rooms")
    layered = {room.strip() for layer in rooms["layers"] for room in layer.split(":")}
    assert {f"sweep.{room}" for room in ROOMS} <= layered, "add the room to the layers of [tool.importlinter]"
