"""Where the Hydra groups are: in the package, and in `./conf` of the working directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks import registry

ROOT_CONFIG = "sweep"

_PACKAGE = Path(__file__).parents[1]


def package_folder() -> Path:
    """The package's own `conf`: inside the installed package, or beside it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"


def own_folder() -> Path | None:
    """`./conf` of the working directory, if it exists and is not the package's."""
    own = Path.cwd() / "conf"
    return own if own.is_dir() and own.resolve() != package_folder().resolve() else None


def groups() -> dict[str, list[str]]:
    """The options of every group, those in `./conf` included, and tasks that are Python code; files in `base` folders are parts."""
    options: dict[str, set[str]] = {"task": set(registry.names())}
    for file in _files("*"):
        options.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(options.items())}


def files_of(group: str) -> list[str]:
    """The options of a group that have a file."""
    return [file.stem for file in _files(group)]


def _files(group: str) -> Iterator[Path]:
    for folder in (package_folder(), own_folder()):
        if folder is not None:
            yield from folder.glob(f"{group}/*.yaml")
