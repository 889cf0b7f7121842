"""Where the Hydra groups are: in the package, and in `./conf` of the working directory."""

from __future__ import annotations

from pathlib import Path

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
    """The options of every group, those in `./conf` included; files in `base` folders are parts, not options."""
    options: dict[str, set[str]] = {}
    for folder in (package_folder(), own_folder()):
        if folder is None:
            continue
        for file in folder.glob("*/*.yaml"):
            options.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(options.items())}
