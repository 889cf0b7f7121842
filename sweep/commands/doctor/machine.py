"""Python, packages and processor. Imports nothing that an older Python or an empty environment lacks."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.commands.doctor.findings import Finding

DISTRIBUTION = "goldilocks-lora"
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
"""Features of x86 processors that speed training up, as named in /proc/cpuinfo."""

CGROUP = Path("/sys/fs/cgroup")
"""The folder with a container's limits on Linux."""

_BOUNDS_FROM_BELOW = (">=", ">", "==", "!=", "~=", "===")


def python_version(version: Sequence[int] = sys.version_info[:3]) -> Finding:
    """Whether this Python is new enough."""
    message = ".".join(map(str, version))
    if tuple(version[:2]) >= (3, 11):
        return Finding("Python", "ok", message)
    return Finding(
        "Python", "problem", f"{message}; 3.11 or newer is needed", "install Python 3.11 or newer, make a new venv"
    )


def own_requirements() -> list[str]:
    """The project's dependencies, from the checkout or the installed package; empty if unknown."""
    import tomllib

    checkout = Path(__file__).parents[3] / "pyproject.toml"
    if checkout.is_file():
        project = tomllib.loads(checkout.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == DISTRIBUTION:
            return list(project["dependencies"])
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.requires(DISTRIBUTION) or []
    return []


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(requirements: Sequence[str], installed: Callable[[str], str | None] = installed_version) -> Finding:
    """Whether all dependencies are installed in versions that are known to work; imports none of them.

    A missing, too old or excluded package is a problem; one that is newer than the range is a warning.
    """
    name = "packages"
    if not requirements:
        return Finding(name, "warning", "the project's own metadata is missing", "python -m pip install -e .")
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Finding(
            name, "problem", "none of the dependencies is installed", f"python -m pip install {DISTRIBUTION}"
        )
    broken: list[str] = []
    newer: list[str] = []
    wanted: list[str] = []
    needed = [entry for entry in map(Requirement, requirements) if not entry.marker or entry.marker.evaluate()]
    for requirement in needed:
        version = installed(requirement.name)
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            continue
        wanted.append(f"'{requirement.name}{requirement.specifier}'")
        if version is None:
            broken.append(f"{requirement.name} is missing")
        elif all(
            bound.contains(version, prereleases=True)
            for bound in requirement.specifier
            if bound.operator in _BOUNDS_FROM_BELOW
        ):
            newer.append(f"{requirement.name} {version} is newer than {requirement.specifier}")
        else:
            broken.append(f"{requirement.name} {version} is not in {requirement.specifier}")
    if broken or newer:
        fix = f"python -m pip install {' '.join(wanted)}"
        return Finding(name, "problem" if broken else "warning", "; ".join(broken + newer), fix)
    return Finding(name, "ok", f"all {len(needed)} dependencies are installed, in range")


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """The features of the processor that matter; None if unknown."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else frozenset(flags) & frozenset(FEATURES)


def core_quota(cgroup: Path = CGROUP) -> float | None:
    """The CPU quota of a container, in cores; None without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def processor(
    cores: int, features: frozenset[str] | None, threads: int, workers: int, quota: float | None = None
) -> Finding:
    """Usable cores and the features that matter.

    Args:
        threads: per worker, as configured.
        quota: the CPU quota in cores, or None.
    """
    message = f"{cores} {'core' if cores == 1 else 'cores'} usable"
    if features is not None:
        message += f"; {', '.join(name for name in FEATURES if name in features) or 'no vector extensions'}".replace(
            "amx_tile", "amx"
        )
    limit = min(cores, quota or cores)
    if quota is not None and quota < cores:
        message += f"; CPU quota {quota:g}"
    if threads * workers > max(1.0, limit):
        return Finding(
            "processor",
            "warning",
            f"{message}; the study would use {threads * workers} threads, which slow each other down",
            f"executor.threads={max(1, int(limit) // workers)}",
        )
    if features is not None and "avx2" not in features:
        return Finding(
            "processor", "warning", f"{message}: training will be slow", "use a processor with AVX2, or a GPU"
        )
    return Finding("processor", "ok", message)
