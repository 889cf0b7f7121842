"""Text to tokens, with the model's chat template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from sweep.errors import ConfigurationError
from tasks import Example


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


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """The examples of a split that fit into the maximum length.

    Attributes:
        too_long: numbers (from 1, in file order) of the examples that do not fit.
    """

    examples: tuple[Encoded, ...]
    too_long: tuple[int, ...]


class Encoder:
    """Encodes examples with a model's tokenizer and its chat template, if it has one."""

    def __init__(self, tokenizer: Any, system_prompt: str | None) -> None:
        self._tokenizer = tokenizer
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        self._chat = bool(tokenizer.chat_template)

    def encode(self, example: Example) -> Encoded:
        """Encodes one example.

        The completion is the text that the template adds after the generation prompt, so it ends with the template's
        end-of-turn token. Without a template: prompt, a space, completion, end-of-sequence token.

        Raises:
            ConfigurationError: the model's chat template fails.
        """
        if self._chat:
            prompt, answer = self._render(example)
            prompt_ids = self._ids(prompt, special=False)
        else:
            prompt, answer = example.prompt, f" {example.completion}{self._tokenizer.eos_token}"
            prompt_ids = self._ids(prompt, special=True)
            if prompt_ids and prompt_ids[-1] == self._tokenizer.eos_token_id:
                prompt_ids = prompt_ids[:-1]
        return Encoded(example, tuple(prompt_ids), tuple(self._ids(answer, special=False)))

    def question(self, example: Example) -> Encoded:
        """Encodes a question that has nothing to do with the task, without the task's system prompt."""
        return Encoder(self._tokenizer, None).encode(example)

    def encode_split(self, examples: Iterable[Example], max_length: int) -> EncodedSplit:
        """Encodes the examples and separates those of more than `max_length` tokens."""
        encoded = [self.encode(example) for example in examples]
        return EncodedSplit(
            tuple(item for item in encoded if len(item) <= max_length),
            tuple(number for number, item in enumerate(encoded, start=1) if len(item) > max_length),
        )

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
        turns = [*self._system, {"role": "user", "content": example.prompt}]
        try:
            return self._rendered(turns, example)
        except TemplateError as error:
            if not self._system:
                raise self._broken(error) from error
        # a template is a program in the model's files, so any exception is possible
        except Exception as error:
            raise self._broken(error) from error
        # a template without a system role: the system prompt goes before the user's text
        turns = [{"role": "user", "content": f"{self._system[0]['content']}\n\n{example.prompt}"}]
        try:
            return self._rendered(turns, example)
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
