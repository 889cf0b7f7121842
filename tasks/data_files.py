"""Which files of a folder hold which split, by their names."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.example import DataProblems
from tasks.suggest import did_you_mean

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
COMPRESSED = (".gz", ".zst")
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "heldout", "holdout"),
}
_BETWEEN = re.compile(r"[-_. ]+")
_LISTED = 12
_NAMED = 4


def files_of(path: Path) -> Mapping[str, Sequence[Path]]:
    """The files of each split; a single file stands for train.

    A file is of the split that its name begins with. If there is none for train, split names are looked for in the whole names
    (`reviews_train.csv`).

    Raises:
        DataProblems: there is no file for train, or two files may be the same rows.
    """
    if path.is_file():
        return {"train": [path]}
    if not path.is_dir():
        raise DataProblems([_nothing_there(path)])
    known = [entry for entry in sorted(path.iterdir()) if entry.is_file() and _ending(entry)]
    found = _by_split(known, lambda words: words[:1])
    if not found and len(known) == 1:
        return {"train": known}
    if "train" not in found:
        inside = _by_split(known, lambda words: words)
        if "train" not in inside:
            raise DataProblems([_no_train(path, known)])
        found = inside
    if problems := _twice(path, found):
        raise DataProblems(problems)
    return {split: found[split] for split in SPLITS if split in found}


def in_words(named: Mapping[str, Sequence[Path]]) -> str:
    """`; train from train-0.csv and train-1.csv`, for splits of several files; nothing if there are none."""
    texts = []
    for split, files in named.items():
        if len(files) > 1:
            shown = [file.name for file in files[:_NAMED]]
            rest = f", ... ({len(files)} files)" if len(files) > _NAMED else ""
            texts.append(f"; {split} from {' and '.join(shown) if not rest else ', '.join(shown)}{rest}")
    return "".join(texts)


def kind_of(path: Path) -> str | None:
    """Describes what exists at `path`, or None; opens nothing, because that could block."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else None
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _by_split(files: Sequence[Path], words: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for entry in files:
        named = words(_BETWEEN.split(_uncompressed(entry).stem.casefold()))
        splits = [split for split, names in SPLITS.items() if any(name in named for name in names)]
        if len(splits) == 1:
            found.setdefault(splits[0], []).append(entry)
    return found


def _twice(path: Path, found: Mapping[str, Sequence[Path]]) -> list[str]:
    """Problems of files with one name in two formats, which are likely to be the same rows."""
    problems = []
    for split, files in found.items():
        by_stem: dict[str, list[str]] = {}
        for file in files:
            by_stem.setdefault(_uncompressed(file).stem.casefold(), []).append(file.name)
        problems += [
            f"{path}: {' and '.join(alike)} would both be {split}, and may be the same rows; keep one of them here"
            for alike in by_stem.values()
            if len(alike) > 1
        ]
    return problems


def _ending(path: Path) -> str:
    """The ending of a file that may be read, compression aside; empty for others."""
    ending = _uncompressed(path).suffix.casefold()
    return ending if ending in ENDINGS else ""


def _uncompressed(path: Path) -> Path:
    """The path without the ending of a compressed file."""
    return path.with_suffix("") if path.suffix.casefold() in COMPRESSED else path


def _nothing_there(path: Path) -> str:
    if kind := kind_of(path):
        return f"{path}: is {kind}; give a file, or a folder with files"
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    names = sorted(entry.name for entry in folder.iterdir())
    missing = path.absolute().relative_to(folder).parts[0]
    has = ", ".join(names[:_LISTED]) + (f", and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"{path}: there is no such file or folder{did_you_mean(missing, names)}; {folder} has {has or 'nothing'}"


def _no_train(path: Path, known: Sequence[Path]) -> str:
    expected = ", ".join(f"train{ending}" for ending in ENDINGS[:4])
    text = f"{path}: no file is named after train ({expected}, ...)"
    if known:
        listed = ", ".join(entry.name for entry in known[:_LISTED])
        return f"{text}; files of known formats: {listed}. Give one of them as task.path, or name one train"
    others = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    for folder in (entry for entry in others if entry.is_dir()):
        if any(entry.is_file() and _ending(entry) for entry in folder.iterdir()):
            split = _by_split([folder], lambda words: words)
            if not split:
                return f"{text}; {folder.name}/ has files: set task.path={folder}"
            return f"{text}; {folder.name}/ has files: put them here, as {folder.name}-1.jsonl and so on"
    unread = [f"{entry.name} ({kind_of(entry)})" if not entry.is_file() else entry.name for entry in others]
    return (
        f"{text}; the folder has {', '.join(unread[:_LISTED])}, none of a known format"
        if unread
        else f"{text}; it is empty"
    )
