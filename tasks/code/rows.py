"""A row of the data with its hidden checks, and the pieces that all kinds of rows use."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.code import words
from tasks.example import Example
from tasks.execution import Check


@dataclass(frozen=True, slots=True)
class Row:
    """An example, and what its code must do."""

    example: Example
    checks: tuple[Check, ...]


def row(kind: str, prompt: str, code: Sequence[str], checks: Iterable[Check]) -> Row:
    """A row of a kind.

    Args:
        code: the lines of the answer.
    """
    return Row(Example(prompt, "\n".join(code), kind=kind), tuple(checks))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a path: its converter is "int", "float", or none for text."""

    name: str
    converter: str = ""

    @property
    def pattern(self) -> str:
        return f"{{{self.name}:{self.converter}}}" if self.converter else f"{{{self.name}}}"

    def sample(self, rng: random.Random) -> str:
        """An example value, as it is written in a path and in a text."""
        if self.converter == "int":
            return str(rng.randint(2, 980))
        if self.converter == "float":
            return f"{rng.randint(1, 90)}.{rng.choice((5, 25, 75))}"
        return rng.choice(("oslo", "red", "b12", "fern", "kim", "x-ray", "delta", "2040", "mango"))

    def misfit(self) -> str | None:
        """A value that it does not take, None if it takes any."""
        return {"int": "x7", "float": "heavy"}.get(self.converter)


@dataclass(frozen=True, slots=True)
class Path:
    """The path of a route: its fixed segments and its parameters in order, and the group that it is in."""

    segments: tuple[str | Parameter, ...]
    group: str = ""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(part for part in self.segments if isinstance(part, Parameter))

    @property
    def asked(self) -> str:
        """As instructions name it, without types."""
        return "".join(f"/{{{part.name}}}" if isinstance(part, Parameter) else f"/{part}" for part in self.segments)

    @property
    def pattern(self) -> str:
        """As the code has it."""
        return "".join(f"/{part.pattern}" if isinstance(part, Parameter) else f"/{part}" for part in self.segments)

    @property
    def handler(self) -> str:
        """The name of the handler: the last fixed segment."""
        return [part for part in self.segments if isinstance(part, str)][-1]

    def address(self, values: dict[str, str]) -> str:
        """The path of a request, with values for its parameters."""
        parts = (values[part.name] if isinstance(part, Parameter) else part for part in self.segments)
        return self.group + "".join(f"/{part}" for part in parts)

    def values(self, rng: random.Random) -> dict[str, str]:
        """Values for the parameters."""
        return {parameter.name: parameter.sample(rng) for parameter in self.parameters}

    def decorator(self, method: str) -> str:
        """The first line of the code."""
        owner = f"app.group({self.group!r})" if self.group else "app"
        return f"@{owner}.{method}({self.pattern!r})"


def parameter(rng: random.Random, taken: Iterable[str] = ()) -> Parameter:
    """A parameter whose name is not taken; of whole numbers mostly."""
    converter = rng.choices(("int", "", "float"), (5, 3, 2))[0]
    names = {"int": words.WHOLE, "": words.TEXTUAL, "float": words.DECIMAL}[converter]
    return Parameter(rng.choice([name for name in names if name not in set(taken)]), converter)


def path(nouns: Sequence[str], rng: random.Random, parameters: int, groups: float = 0.0) -> Path:
    """A path with that number of parameters; `groups` is the chance that it is below a group."""
    noun, other = rng.sample(nouns, 2)
    segments: list[str | Parameter] = [noun]
    if parameters:
        segments.append(parameter(rng))
    if parameters > 1:
        first = segments[1]
        taken = [first.name] if isinstance(first, Parameter) else []
        segments += [other, parameter(rng, taken)] if rng.random() < 0.4 else [parameter(rng, taken)]
    elif parameters and rng.random() < 0.2:
        segments.append(other)
    group = f"/{rng.choice(words.AREAS)}" if rng.random() < groups else ""
    if not group and rng.random() < 0.35:
        segments.insert(0, rng.choice(words.AREAS))
    return Path(tuple(segments), group)


def seen(
    request: str, body: object = None, sent: tuple[str, Mapping[str, str]] | None = None, show: Sequence[str] = ()
) -> str:
    """The expression of a request: its outline is [status, type, content, what is shown...].

    Args:
        sent: "headers" or "cookies", and their values.
        show: names of headers and cookies of the response.
    """
    named = {"body": body, **dict([sent] if sent else []), "show": list(show) or None}
    given = "".join(f", {name}={value!r}" for name, value in named.items() if value is not None)
    return f"_outline(app, {request!r}{given})"


def quoted(text: str) -> str:
    """A text as Python code: with an f where it has parameters."""
    return f"f{text!r}" if "{" in text else repr(text)
