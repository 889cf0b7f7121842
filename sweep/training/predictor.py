"""Answers from several adapters on one base in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from sweep.errors import ConfigurationError, TrialFailed
from sweep.records import WorkerSetup
from sweep.store.paths import Paths
from sweep.training import full
from sweep.training.adapters import CONFIG, from_pretrained
from sweep.training.base_model import load_base
from sweep.training.device_errors import is_out_of_memory, naming_lack_of_memory
from sweep.training.encoding import Encoder
from sweep.training.forward import greedy_answers
from sweep.training.machine import pick_device
from sweep.training.quantization import usable_on
from tasks import Example


class Predictor:
    """A base model and the adapters of the studies that were trained on it.

    Args:
        setup: of any of the studies; only its base and quantization are used.
        base_hash: sha256 of the base's files that the adapters were trained on, or None if unknown.
        threads: number of CPU threads.

    Raises:
        ConfigurationError: the base cannot be loaded, or is not the one that the adapters were trained on.
        EnvironmentLacks: the base is not available on this machine.
    """

    def __init__(self, setup: WorkerSetup, base_hash: str | None, threads: int, paths: Paths) -> None:
        torch.set_num_threads(threads)
        self._base = load_base(setup.model, usable_on(setup.quant, pick_device()), paths)
        if base_hash is not None and self._base.hash != base_hash:
            raise ConfigurationError(
                f"model={setup.model.name}: the weights (from {self._base.source}, {self._base.hash[:8]}) are not those "
                f"that the adapter was trained on ({base_hash[:8]})"
            )
        self._adapted: Any = None
        self._aliases: dict[str, str] = {}

    @naming_lack_of_memory("an adapter was loaded")
    def add(self, study: str, folder: Path) -> None:
        """Loads a study's adapter; of `method=full`, which must be the only study, all weights.

        Raises:
            ConfigurationError: the folder has no adapter for this base.
            EnvironmentLacks: memory ran out.
        """
        # PyTorch module names may not contain dots or match an attribute of Module
        alias = f"{len(self._aliases)}-{study.replace('.', '_')}"
        try:
            if not (folder / CONFIG).is_file():
                self._adapted = full.load(self._base.model, folder)
            elif self._adapted is None:
                self._adapted = from_pretrained(self._base.model, folder, adapter_name=alias)
            else:
                self._adapted.load_adapter(str(folder), adapter_name=alias)
        except (ValueError, RuntimeError, OSError, KeyError, TrialFailed) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigurationError(
                f"study={study}: its adapter ({folder}) cannot be loaded onto the base: {error}"
            ) from error
        self._aliases[study] = alias

    def answers(self, study: str, system_prompt: str | None, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy answers of the base with this study's adapter, in the order of the prompts.

        Args:
            study: one that was added.
            system_prompt: the system prompt of the study's training.

        Raises:
            ConfigurationError: prompt and answer exceed the model's context.
            KeyError: the study was not added.
        """
        alias = self._aliases[study]
        encoder = Encoder(self._base.tokenizer, system_prompt)
        encoded = [encoder.encode(Example(prompt, "")) for prompt in prompts]
        longest = max((len(item.prompt) for item in encoded), default=0)
        if longest + max_new_tokens > self._base.context:
            raise ConfigurationError(
                f"a prompt of {longest} tokens and an answer of {max_new_tokens} exceed the model's context of "
                f"{self._base.context} tokens; shorten the prompt or lower max_new_tokens"
            )
        if self._adapted is None:
            raise KeyError(study)
        if isinstance(self._adapted, PeftModel):
            self._adapted.set_adapter(alias)
        return greedy_answers(self._base, self._adapted, encoded, max_new_tokens)
