"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Writes a text file; until it is whole, the one that was there stays."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def replace_folder(fresh: Path, target: Path) -> None:
    """Puts a folder that is whole in the place of another; the other one is removed only once it is there."""
    earlier = target.with_name(f".{target.name}.{os.getpid()}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if target.exists():
        target.rename(earlier)
    fresh.rename(target)
    shutil.rmtree(earlier, ignore_errors=True)
