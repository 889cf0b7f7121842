"""What is known of a base model without its weights: shapes in the headers of its files, and its configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embeddings", "lm_head", "embed_out")
"""Last parts of the names of modules whose matrices are no linear layers between the embeddings."""

_HEADER_LENGTH = 8
_LONGEST_HEADER = 100_000_000
"""As safetensors itself allows."""


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """The sizes of a base model.

    Attributes:
        parameters: of the whole model.
        body: of the linear layers, which every token passes.
        head: of the output head, which only tokens with a prediction pass.
        linear: for each linear layer its inputs and outputs, by its full name; empty where the files are not here.
        config: the text model's part of `config.json`; empty where the files are not here.
    """

    parameters: int
    body: int
    head: int
    linear: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def targeted(self, targets: Iterable[str]) -> list[tuple[int, int]]:
        """Inputs and outputs of every layer whose name ends with one of these names."""
        ends = tuple(targets)
        return [shape for name, shape in self.linear.items() if any(f".{name}".endswith(f".{end}") for end in ends)]


def facts_in(folder: Path) -> BaseFacts:
    """Reads the sizes from a model's folder; reads no weights.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    whole = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = whole.get("text_config", whole)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        shapes.update(_shapes_in(file))
    linear = {
        name.removesuffix(".weight"): (shape[1], shape[0])
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == 2 and not _is_embedding(name)
    }
    return BaseFacts(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        body=sum(inputs * outputs for inputs, outputs in linear.values()),
        head=int(config["vocab_size"]) * int(config["hidden_size"]),
        linear=linear,
        config=config,
    )


def facts_by_size(parameters: int) -> BaseFacts:
    """What follows from the number of parameters alone: that all of them are in linear layers, which is nearly so for large models."""
    return BaseFacts(parameters, parameters, 0)


def _is_embedding(name: str) -> bool:
    return name.removesuffix(".weight").rpartition(".")[2] in _EMBEDDINGS


def _shapes_in(file: Path) -> Mapping[str, tuple[int, ...]]:
    """The shapes in the header of a safetensors file: eight bytes with its length, then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_HEADER_LENGTH), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"{file}: this is no safetensors file")
        header = json.loads(stream.read(length))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
