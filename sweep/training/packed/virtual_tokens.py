"""Prompt tuning and prefix tuning in the pack: trained tokens before a slot's sequences, computed once for all of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import PeftConfig
from peft.utils import _prepare_prompt_learning_config
from torch import nn

from sweep.errors import ConfigurationError
from sweep.methods import method_of
from sweep.records import Arm
from sweep.training.adapters import first_weights, peft_config
from sweep.training.packed.adapter import Host, SlotAdapter, with_gradient
from sweep.training.packed.attention import Given
from sweep.training.packed.layout import Layout, Virtual
from sweep.training.starts import Starts


class _VirtualTokens(SlotAdapter):
    """One matrix with a row for each virtual token."""

    def __init__(self, arm: Arm, host: Host) -> None:
        self._model = host.model
        self._config = _with_sizes(peft_config(arm), host.model)
        self._tokens = int(self._config.num_virtual_tokens)
        width = self._width(self._config)
        super().__init__(arm, host, [self._tokens * width])
        vector, gradient = (each.view(self._tokens, width) for each in (self.vectors[0].detach(), self._gradients[0]))
        self._matrix = with_gradient(vector, gradient)

    def _width(self, config: Any) -> int:
        """Numbers of a token."""
        raise NotImplementedError

    def initialize(self, seed: int, starts: Starts | None = None) -> None:
        """Takes PEFT's first weights, which are drawn from torch's global random state after `seed`."""
        (weights,) = first_weights(self._model, self.arm, seed)
        with torch.no_grad():
            self._matrix.copy_(weights)

    def matrices(self) -> Iterator[tuple[str, nn.Parameter]]:
        """PEFT's name and the tokens."""
        yield "prompt_embeddings", self._matrix

    def peft_config(self, base_name: str) -> PeftConfig:
        """See `SlotAdapter.peft_config`."""
        return _with_sizes(super().peft_config(base_name), self._model)


class PromptAdapter(_VirtualTokens):
    """Prompt tuning: the embeddings of a slot's virtual tokens, shape (tokens, width of the base)."""

    def __init__(self, arm: Arm, host: Host) -> None:
        super().__init__(arm, host)
        self.virtual = Virtual(embedded=self._tokens)

    @staticmethod
    def arm_of(config: Any) -> Arm:
        """See `SlotAdapter.arm_of`."""
        init = "random" if config.prompt_tuning_init == "RANDOM" else "vocabulary"
        return _arm("prompt_tuning", tokens=config.num_virtual_tokens, init=init)

    def _width(self, config: Any) -> int:
        return int(config.token_dim)

    def embeddings(self) -> torch.Tensor:
        """See `SlotAdapter.embeddings`."""
        return self._matrix


class PrefixAdapter(_VirtualTokens):
    """Prefix tuning: keys and values of a slot's virtual tokens, shape (tokens, layers * 2 * key heads * head_dim).

    Raises:
        ConfigurationError: the base's layers do not take keys and values of one shape, each under its number.
    """

    def __init__(self, arm: Arm, host: Host) -> None:
        super().__init__(arm, host)
        if not _has_equal_layers(host.model, int(self._config.num_layers)):
            raise ConfigurationError(
                "engine=packed: the layers of this model do not take keys and values of one shape, which method=prefix_tuning needs "
                "there; write engine=trainer"
            )
        self.virtual = Virtual(given=self._tokens)

    @staticmethod
    def arm_of(config: Any) -> Arm:
        """See `SlotAdapter.arm_of`."""
        return _arm("prefix_tuning", tokens=config.num_virtual_tokens)

    def _width(self, config: Any) -> int:
        return 2 * int(config.num_layers) * int(config.token_dim)

    def keys_and_values(self) -> Sequence[torch.Tensor]:
        """See `SlotAdapter.keys_and_values`."""
        heads = int(self._config.num_attention_heads)
        states = self._matrix.view(self._tokens, 2 * int(self._config.num_layers), heads, -1)
        return states.unbind(1)


def _has_equal_layers(model: Any, layers: int) -> bool:
    config = model.config.get_text_config()
    given = config.to_dict()  # as attributes, some are there for every model
    numbers = {module.layer_idx for module in model.modules() if hasattr(module, "layer_idx")}
    differ = any(given.get(name) for name in ("per_layer_config", "global_head_dim", "num_kv_shared_layers"))
    return numbers >= set(range(layers)) and not differ


def _arm(method: str, **given: Any) -> Arm:
    """An arm with these own parameters, and defaults for the others."""
    named = Arm(0, 0.0, 0.0, (), 0.0, method)
    own: list[tuple[str, Any]] = [(key.name, given.get(key.name, key.default)) for key in method_of(named).own_keys()]
    return replace(named, own=tuple(own))


def _with_sizes(config: PeftConfig, model: Any) -> Any:
    """The configuration with the sizes of the base, as `get_peft_model` completes it."""
    return _prepare_prompt_learning_config(config, model.config)


def keys_and_values(adapters: Sequence[SlotAdapter | None], dtype: torch.dtype) -> Given:
    """The given keys and values of all adapters by layer, in a type."""
    own = [
        [states.to(dtype) for states in adapter.keys_and_values()]
        for adapter in adapters
        if adapter is not None and adapter.virtual.given
    ]
    together = [torch.cat(states) for states in zip(*own, strict=True)]
    return list(zip(together[::2], together[1::2], strict=True))


def embeddings(model: Any, layout: Layout, adapters: Sequence[SlotAdapter | None]) -> torch.Tensor:
    """The embeddings of a row, those of virtual tokens from their slots' adapters, shape (1, tokens, width of the base)."""
    base: torch.Tensor = model.get_input_embeddings()(layout.ids)  # (tokens, width)
    parts, end = [], 0
    for slot, first, count in layout.embedded:
        adapter = adapters[slot]
        assert adapter is not None
        parts += [base[end:first], adapter.embeddings().to(base.dtype)]
        end = first + count
    return torch.cat([*parts, base[end:]])[None]
