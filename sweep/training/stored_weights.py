"""The base's weights as they are in its files, before quantization."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from sweep.errors import ConfigurationError


class StoredWeights:
    """Reads single weights of a model from its safetensors files.

    Args:
        folder: of the model's files.
        prefix: the name of the model within the one with the output head (`base_model_prefix`), which some files leave out.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix = folder, f"{prefix}."
        self._files: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(str(file), framework="pt") as weights:
                self._files.update(dict.fromkeys(weights.keys(), file))

    def read(self, module: str, shape: tuple[int, int]) -> torch.Tensor:
        """A linear module's weight in fp32, on the CPU.

        Args:
            module: its full name in the loaded model.
            shape: (out_features, in_features).

        Raises:
            ConfigurationError: the files have no such weight: their names are others than those of the modules.
        """
        for name in (
            f"{module}.weight",
            f"{module.removeprefix(self._prefix)}.weight",
            f"{self._prefix}{module}.weight",
        ):
            if name in self._files:
                with safe_open(str(self._files[name]), framework="pt") as weights:
                    weight: torch.Tensor = weights.get_tensor(name).float()
                if tuple(weight.shape) in (shape, shape[::-1]):  # transformers' Conv1D is stored transposed
                    return weight if tuple(weight.shape) == shape else weight.t()
        raise ConfigurationError(
            f"lora.init=loftq: {self._folder} holds no weight of {module} as one matrix, so its quantization error is unknown; write "
            "lora.init=default, or other lora.targets"
        )
