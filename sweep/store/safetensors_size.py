"""Whether a safetensors file has the size that its own header says, without reading its weights."""

from __future__ import annotations

import json
from pathlib import Path


def size_problem(file: Path) -> str | None:
    """What is wrong with the file, in words; None if it is as long as its header says.

    The format is an 8-byte little-endian length, a JSON header of that length, and the weights
    (https://huggingface.co/docs/safetensors).
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > file.stat().st_size:
                return f"{file.name} is cut short"
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return f"{file.name} cannot be read"
    expected = 8 + length + max(ends, default=0)
    return None if file.stat().st_size == expected else f"{file.name} has another size than its header says"
