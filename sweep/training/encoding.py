"""Text to tokens, with the model's chat template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from sweep.errors import ConfigurationError
from sweep.records import MeanTokens
from sweep.records.task_data import DROP, LEFT
from tasks import Example

_ATTEMPTS = 8
"""How often a prompt is cut and measured again before it is given up."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids.

    Attributes:
        prompt: token ids of the prompt, with chat template and system prompt.
        completion: token ids of the expected answer, with the end-of-turn token; the loss covers only these.
        replayed: whether it is general text that is mixed into the training examples (`train.replay`).
    """

    example: Example
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    replayed: bool = False

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def mean_tokens(encoded: Sequence[Encoded]) -> MeanTokens:
    """Tokens per example; 0 without examples."""
    count = max(1, len(encoded))
    return MeanTokens(sum(map(len, encoded)) / count, sum(len(item.completion) for item in encoded) / count)


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """The examples of a split that fit into the maximum length.

    Attributes:
        too_long: numbers (from 1, in file order) of the examples that do not fit.
        shortened: numbers of the examples whose prompts were shortened to fit.
    """

    examples: tuple[Encoded, ...]
    too_long: tuple[int, ...]
    shortened: tuple[int, ...] = ()


class Encoder:
    """Encodes examples with a model's tokenizer and its chat template, if it has one."""

    def __init__(self, tokenizer: Any, system_prompt: str | None) -> None:
        self._tokenizer = tokenizer
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        self._chat = bool(tokenizer.chat_template)

    def encode(self, example: Example) -> Encoded:
        """Encodes one example.

        The completion is the text that the template adds after the generation prompt, so it ends with the template's
        end-of-turn token. Without a template: prompt (after the earlier messages of a chat, with empty lines between), a space,
        completion, end-of-sequence token.

        Raises:
            ConfigurationError: the model's chat template fails.
        """
        if self._chat:
            prompt, answer = self._render(example)
            prompt_ids = self._ids(prompt, special=False)
        else:
            texts = [*(text for _, text in example.history), example.prompt]
            prompt, answer = "\n\n".join(texts), f" {example.completion}{self._tokenizer.eos_token}"
            prompt_ids = self._ids(prompt, special=True)
            if prompt_ids and prompt_ids[-1] == self._tokenizer.eos_token_id:
                prompt_ids = prompt_ids[:-1]
        return Encoded(example, tuple(prompt_ids), tuple(self._ids(answer, special=False)))

    def question(self, example: Example) -> Encoded:
        """Encodes a question that has nothing to do with the task, without the task's system prompt."""
        return Encoder(self._tokenizer, None).encode(example)

    def encode_split(self, examples: Iterable[Example], max_length: int, too_long: str = DROP) -> EncodedSplit:
        """Encodes the examples and separates those of more than `max_length` tokens.

        Args:
            too_long: whether those are left out, or their prompts shortened where that suffices (`task.too_long`).
        """
        kept: list[Encoded] = []
        dropped: list[int] = []
        shortened: list[int] = []
        for number, example in enumerate(examples, start=1):
            whole = self.encode(example)
            fitting: Encoded | None = whole
            if len(whole) > max_length:
                fitting = None if too_long == DROP else self._shortened(whole, max_length, from_left=too_long == LEFT)
                (dropped if fitting is None else shortened).append(number)
            if fitting is not None:
                kept.append(fitting)
        return EncodedSplit(tuple(kept), tuple(dropped), tuple(shortened))

    def _shortened(self, whole: Encoded, max_length: int, *, from_left: bool) -> Encoded | None:
        """The example with as much of its prompt as fits, inside the whole chat template; None if nothing of the prompt would be left.

        From the left, the earliest turns of a chat go first.
        """
        example = whole.example
        history = list(example.history)
        shorter = whole
        if from_left:
            while len(shorter) > max_length and (oldest := _oldest_turns(history)):
                del history[oldest]
                shorter = self.encode(replace(example, history=tuple(history)))
        ids = self._ids(example.prompt, special=False)
        # tokens at the cut may be others than before, so the length is measured again
        for _ in range(_ATTEMPTS):
            excess = len(shorter) - max_length
            if excess <= 0:
                return replace(shorter, example=example)
            if excess >= len(ids):
                return None
            ids = ids[excess:] if from_left else ids[:-excess]
            text = str(self._tokenizer.decode(ids)).strip("\ufffd").strip()
            if not text:
                return None
            shorter = self.encode(replace(example, prompt=text, history=tuple(history)))
        return None

    def prose(self, text: str) -> Encoded:
        """Encodes plain text for measuring forgetting; the loss covers all tokens but the first."""
        ids = self._ids(text, special=False)
        first = self._tokenizer.bos_token_id
        prompt = (first,) if first is not None else tuple(ids[:1])
        return Encoded(Example(prompt="", completion=text), prompt, tuple(ids if first is not None else ids[1:]))

    def passages(self, texts: Iterable[str], max_length: int) -> tuple[Encoded, ...]:
        """Encodes general text that is mixed into training; a passage of more than `max_length` tokens is cut off there."""
        whole = map(self.prose, texts)
        cut = (
            replace(item, completion=item.completion[: max_length - len(item.prompt)], replayed=True) for item in whole
        )
        return tuple(item for item in cut if item.completion)

    def _render(self, example: Example) -> tuple[str, str]:
        history = [{"role": role, "content": text} for role, text in example.history]
        own = [message for message in history if message["role"] == "system"][:1]
        system = own or self._system
        later = [
            *(message for message in history if message["role"] != "system"),
            {"role": "user", "content": example.prompt},
        ]
        try:
            return self._rendered([*system, *later], example)
        except TemplateError as error:
            if not system:
                raise self._broken(error) from error
        # a template is a program in the model's files, so any exception is possible
        except Exception as error:
            raise self._broken(error) from error
        # a template without a system role: the system prompt goes before the user's text
        first = {**later[0], "content": f"{system[0]['content']}\n\n{later[0]['content']}"}
        try:
            return self._rendered([first, *later[1:]], example)
        except Exception as error:
            raise self._broken(error) from error

    def _rendered(self, turns: list[dict[str, str]], example: Example) -> tuple[str, str]:
        prompt = self._template(turns, generate=True)
        whole = self._template([*turns, {"role": "assistant", "content": example.completion}], generate=False)
        if whole.startswith(prompt):
            return prompt, whole[len(prompt) :].rstrip()
        return prompt, f"{example.completion}{self._tokenizer.eos_token}"

    def _broken(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"the model's chat template ({self._tokenizer.name_or_path}) fails: {type(error).__name__}: {error}; put a "
            "working one into the model's folder as chat_template.jinja, or remove it to train without a template"
        )

    def _template(self, turns: list[dict[str, str]], *, generate: bool) -> str:
        # Qwen's template would ask for a reasoning part; other templates ignore the argument
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generate, enable_thinking=False
        )
        return str(text)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])


def _oldest_turns(history: Sequence[tuple[str, str]]) -> slice | None:
    """The oldest turn of the user in a history with the answer to it; None if there is none."""
    first = next((place for place, (role, _) in enumerate(history) if role == "user"), None)
    if first is None:
        return None
    end = next((place for place in range(first + 1, len(history)) if history[place][0] == "user"), len(history))
    return slice(first, end)
