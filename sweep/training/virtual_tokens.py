"""Greedy decoding with trained tokens before the prompt (prompt tuning, P-tuning, prefix tuning).

PEFT's `generate` gives a prefix to transformers 5.23 beside an empty cache, which then is used instead: the answers would be those of
the bare base. Here the base itself is called, with the virtual tokens as embeddings, or as keys and values in the cache.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import Cache, DynamicCache


def decode(model: PeftModel, prompts: torch.Tensor, max_new_tokens: int, stops: Collection[int]) -> list[list[int]]:
    """The likeliest tokens after each prompt, up to and including one of `stops`; call it without gradients.

    Args:
        prompts: shape (examples, tokens): prompts of one length, without padding.
        stops: tokens that end an answer.
    """
    base = model.get_base_model()
    given = model.get_prompt(batch_size=len(prompts))
    if isinstance(given, torch.Tensor):  # (examples, virtual tokens, width)
        cache: Cache = DynamicCache(config=base.config)
        embedded = base.get_input_embeddings()(prompts)
        inputs: dict[str, Any] = {"inputs_embeds": torch.cat((given.to(embedded.dtype), embedded), dim=1)}
    else:
        cache, inputs = given, {"input_ids": prompts}
    answers: list[list[int]] = [[] for _ in prompts]
    open_answers = set(range(len(prompts)))
    name = _cache_argument(base)
    for _ in range(max_new_tokens):
        logits = base(**inputs, **{name: cache}, use_cache=True).logits
        tokens = logits[:, -1].argmax(dim=-1)  # (examples,)
        for index in list(open_answers):
            answers[index].append(int(tokens[index]))
            if answers[index][-1] in stops:
                open_answers.remove(index)
        if not open_answers:
            break
        inputs = {"input_ids": tokens[:, None]}
    return answers


def _cache_argument(base: Any) -> str:
    # transformers 5.23 renamed the argument
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


def as_tensor(prompts: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Prompts of one length as a tensor of shape (examples, tokens)."""
    return torch.tensor([list(prompt) for prompt in prompts], device=device)
