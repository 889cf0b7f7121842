"""Where the Hydra groups are: in the package, and in `./conf` of the folder the person stands in."""

from __future__ import annotations

from pathlib import Path

ROOT_CONFIG = "sweep"

_PACKAGE = Path(__file__).parents[1]


def package_folder() -> Path:
    """The package's own `conf`: inside the installed package, or beside it in a checkout."""
    inside = _PACKAGE / "conf"
    return inside if inside.is_dir() else _PACKAGE.parent / "conf"


def own_folder() -> Path | None:
    """`./conf` of the folder the person stands in, if there is one and it is not the package's."""
    own = Path.cwd() / "conf"
    return own if own.is_dir() and own.resolve() != package_folder().resolve() else None


def groups() -> dict[str, list[str]]:
    """Every group with the names that can be chosen, the person's own included; `base` folders are parts, not choices."""
    found: dict[str, set[str]] = {}
    for folder in (package_folder(), own_folder()):
        if folder is None:
            continue
        for file in folder.glob("*/*.yaml"):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(found.items())}
