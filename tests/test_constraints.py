"""The pinned versions in constraints.txt: each dependency has one, and the README's commands use them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
SUPPORTED = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]


def pinned(python: str) -> dict[str, Version]:
    """The pins that apply to a version of Python on Linux, by canonical name."""
    environment = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
    }
    versions: dict[str, Version] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment):
            (specifier,) = pin.specifier
            name = canonicalize_name(pin.name)
            assert name not in versions, f"{pin.name} is pinned twice on Python {python}"
            versions[name] = Version(specifier.version)
    return versions


@pytest.mark.parametrize("python", SUPPORTED)
def test_every_dependency_is_pinned_within_its_range(python: str) -> None:
    versions = pinned(python)
    for dependency in DEPENDENCIES:
        version = versions.get(canonicalize_name(dependency.name))
        assert version is not None, f"{dependency.name} has no pin"
        assert version in dependency.specifier, f"{dependency.name}: {version} is outside {dependency.specifier}"


def test_pins_are_exact_public_versions() -> None:
    for pin in PINS:
        assert re.fullmatch(r"==[^+*,]+", str(pin.specifier)), str(pin)
        assert pin.url is None
        assert not pin.extras


def test_the_readmes_commands_use_the_pins() -> None:
    installs = re.findall(r"^\.venv/bin/pip install .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(installs) == 2
    assert all("-c constraints.txt " in command for command in installs)
