"""From text to tokens: the model's chat template around the prompt, the completion after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from sweep.errors import ConfigurationError
from tasks import Example


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids.

    Attributes:
        example: the example itself.
        prompt: ids of everything that the model is given.
        completion: ids that it should answer with, end-of-turn token included; the loss is taken over these.
    """

    example: Example
    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """The examples of a split that fit, and how many did not.

    Attributes:
        too_long: numbers (from 1, in file order) of the examples that were left out.
    """

    examples: tuple[Encoded, ...]
    too_long: tuple[int, ...]


class Encoder:
    """Turns examples into tokens with a model's own tokenizer and, if it has one, chat template."""

    def __init__(self, tokenizer: Any, system_prompt: str | None) -> None:
        self._tokenizer = tokenizer
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        self._chat = bool(tokenizer.chat_template)

    def encode(self, example: Example) -> Encoded:
        """One example as tokens.

        The completion is what the template writes after the generation prompt, so it ends with the template's own
        end-of-turn token. Without a template: prompt, a space, the completion and the end-of-sequence token.

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

    def encode_split(self, examples: Iterable[Example], max_length: int) -> EncodedSplit:
        """All examples that have at most `max_length` tokens; the others are named by number."""
        encoded = [self.encode(example) for example in examples]
        return EncodedSplit(
            tuple(item for item in encoded if len(item) <= max_length),
            tuple(number for number, item in enumerate(encoded, start=1) if len(item) > max_length),
        )

    def prose(self, text: str) -> Encoded:
        """Plain prose for measuring forgetting: every token but the first is scored."""
        ids = self._ids(text, special=False)
        first = self._tokenizer.bos_token_id
        prompt = (first,) if first is not None else tuple(ids[:1])
        return Encoded(Example(prompt="", completion=text), prompt, tuple(ids if first is not None else ids[1:]))

    def _render(self, example: Example) -> tuple[str, str]:
        turns = [*self._system, {"role": "user", "content": example.prompt}]
        try:
            return self._rendered(turns, example)
        except TemplateError as error:
            if not self._system:
                raise self._broken(error) from error
        # whatever Python stumbles over in a template: it is a program in the model's files
        except Exception as error:
            raise self._broken(error) from error
        # a template that knows no system role: its words go before the person's
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
            f"the model's chat template ({self._tokenizer.name_or_path}) fails: {type(error).__name__}: {error}; put one that "
            "works into the model's folder as chat_template.jinja, or take it away: then prompt and completion follow each other"
        )

    def _template(self, turns: list[dict[str, str]], *, generate: bool) -> str:
        # enable_thinking is ignored by templates that do not know it; Qwen's would otherwise ask for a reasoning part
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generate, enable_thinking=False
        )
        return str(text)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])
