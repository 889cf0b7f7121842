"""What was finished is damaged while no sweep runs: trials, adapters, the converted base and its hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faults.case import Case
from benchmarks.faults.kind import ANY, FRESH, HALF, WHOLE, kind
from benchmarks.faults.state import files_of_finished, identity_of

_LATER = (HALF, WHOLE)
_ADAPTER = "adapter_model.safetensors"
_GARBAGE_JSON = ("", "{", "[]", "null", '"text"', '{"x": 1}', "\x00\x01\x02", "{}")


def remove(file: Path, case: Case) -> None:
    """The file is gone."""
    file.unlink()


def cut(file: Path, case: Case) -> None:
    """Only a first part of the file is left, possibly nothing."""
    kept = case.random.randrange(file.stat().st_size)
    case.notes.append(f"{kept} of {file.stat().st_size} bytes left")
    with file.open("r+b") as stream:
        stream.truncate(kept)


def flip(file: Path, case: Case) -> None:
    """One bit is another."""
    content = bytearray(file.read_bytes())
    place = case.random.randrange(len(content))
    content[place] ^= 1 << case.random.randrange(8)
    case.notes.append(f"byte {place} of {len(content)}")
    file.write_bytes(content)


_WAYS: dict[str, tuple[str, Callable[[Path, Case], None]]] = {
    "missing": ("is missing", remove),
    "cut": ("is cut short", cut),
    "flipped": ("has one bit changed", flip),
}


def damaged(file: str, way: str) -> Callable[[Case], None]:
    """A fault in one such file of something that is finished, drawn from all."""
    words, damage = _WAYS[way]

    def disturb(case: Case) -> None:
        files = [path for path in files_of_finished(case.root, file) if path.stat().st_size]
        chosen = case.random.choice(files)
        case.damage(chosen)
        case.notes.append(identity_of(chosen)[:10])
        damage(chosen, case)
        _forget(case)
        case.call()

    disturb.__doc__ = f"{file} of a finished trial or adapter {words}."
    return disturb


for _file in ("result.json", "scores.jsonl", "training.json", "manifest.json", _ADAPTER):
    for _way in _WAYS:
        kind(f"{_file.split('.')[0].replace('_model', '')}-{_way}", starts=_LATER)(damaged(_file, _way))


@kind("folder-removed", starts=_LATER)
def folder_removed(case: Case) -> None:
    """The whole folder of a finished trial or adapter is missing."""
    chosen = case.random.choice(files_of_finished(case.root, "manifest.json"))
    case.damage(chosen)
    case.notes.append(str(chosen.parent.relative_to(case.root))[:20])
    shutil.rmtree(chosen.parent)
    _forget(case)
    case.call()


@kind("cache-damaged", starts=_LATER)
def cache_damaged(case: Case) -> None:
    """A file of the cache of scores is damaged, and all depends on it: trials and Optuna's database are gone."""
    chosen = case.random.choice(sorted((case.root / "scores").rglob("*.jsonl")))
    way = case.one_of(*_WAYS)
    _WAYS[way][1](chosen, case)
    for file in files_of_finished(case.root, "result.json"):
        case.damage(file)
    shutil.rmtree(case.root / "trials")
    for file in case.root.glob("optuna.db*"):
        file.unlink()
    case.call()


@kind("hashes-garbage", starts=(HALF,))
def hashes_garbage(case: Case) -> None:
    """models/hashes.json holds something else."""
    (case.root / "models" / "hashes.json").write_text(case.one_of(*_GARBAGE_JSON))
    case.call()


@kind("base-damaged", starts=(HALF,))
def base_damaged(case: Case) -> None:
    """A file of the converted base model is missing or cut short."""
    files = [file for file in sorted((case.root / "models" / "tiny").iterdir()) if file.is_file()]
    chosen = case.random.choice(files)
    case.notes.append(chosen.name)
    case.random.choice((remove, cut))(chosen, case)
    case.call()


@kind("leftovers", starts=(HALF,))
def leftovers(case: Case) -> None:
    """Lock files, a process id and half-written folders, as a power cut leaves them."""
    stray: Sequence[str] = (
        "locks/faults.lock",
        "locks/faults.pid",
        "optuna.db.lock",
        "mlflow.db.lock",
        "trials/00/.00000000000000000000000000000000.1/scores.jsonl",
        "trials/00/00000000000000000000000000000000/scores.jsonl",
        "models/.tiny.1/config.json",
        "reports/faults/.verdict.json.1",
    )
    for name in stray:
        (case.root / name).parent.mkdir(parents=True, exist_ok=True)
        (case.root / name).write_text("99999999")
    case.call()


@kind("in-the-way", starts=(FRESH,))
def in_the_way(case: Case) -> None:
    """A file stands where a folder belongs."""
    name = case.one_of(
        "trials", "adapters", "scores", "logs", "locks", "models", "reports", "artifacts", "tracking", "hydra"
    )
    (case.root / name).write_text("in the way\n")
    case.call(ANY, says=rf"{name}|artifact").end()
    (case.root / name).unlink()


def _forget(case: Case) -> None:
    """Half the time Optuna's database is gone as well, so that all depends on what is finished on disk."""
    if case.one_of("known to Optuna", "optuna.db gone") == "optuna.db gone":
        for file in case.root.glob("optuna.db*"):
            file.unlink()
