"""Hashes of base models' files, which stand for a model wherever its folder is."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from sweep.records import BaseModel
from sweep.store.paths import Paths
from sweep.store.whole_folder import MANIFEST

_FINGERPRINTED = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""Files of weights, configuration and tokenizer, as transformers saves them."""

_SHA256 = re.compile("[0-9a-f]{64}")


def given_base_hash(model: BaseModel, paths: Paths) -> str | None:
    """The `fingerprint` of the model in `model.path`; None without a path, or if no model is there."""
    if model.path is None or model.source == "made":
        return None
    folder = Path(model.path).expanduser()
    is_model = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    return fingerprint(folder.absolute(), paths.models / "hashes.json") if is_model else None


def fingerprint(folder: Path, cache: Path) -> str:
    """sha256 of the folder's weights, config and tokenizer, in hex; the identity of the base.

    Args:
        cache: JSON file that caches the hash by path, file sizes and mtimes.
    """
    stamp = stamp_of(folder)
    known = _cached(cache)
    entry = known.get(str(folder))
    if isinstance(entry, dict) and entry.get("stamp") == stamp and _SHA256.fullmatch(str(entry.get("sha256"))):
        return str(entry["sha256"])
    digest = hashlib.sha256()
    for file in _fingerprinted(folder):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    known[str(folder)] = {"stamp": stamp, "sha256": digest.hexdigest()}
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(known, indent=1))
    fresh.replace(cache)
    return digest.hexdigest()


def _fingerprinted(folder: Path) -> list[Path]:
    files = {file for pattern in _FINGERPRINTED for file in folder.glob(pattern)}
    return sorted(file for file in files if file.name != MANIFEST)


def stamp_of(folder: Path) -> list[list[object]]:
    """Names, sizes and mtimes of a model's files."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in _fingerprinted(folder)]


def _cached(cache: Path) -> dict[str, Any]:
    """Content of the cache; empty if it is damaged, because hashes can be computed again."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
