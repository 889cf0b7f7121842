"""Routes with parameters in the path, which answer in plain text or with nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.code import phrasing, words
from tasks.code.rows import Parameter, Path, Row, path, quoted, row, seen
from tasks.code.snippets.decoration import decoration
from tasks.execution import Check

KIND = "route"
_METHODS = ("get", "get", "get", "put", "delete")
_STATUSES = (201, 202, 203, 206)
_ACTIONS = (
    'answer "{t}"', 'reply "{t}"', 'reply with "{t}"', 'return the text "{t}"', 'say "{t}"', 'send back "{t}"',
    'give "{t}" as plain text', 'respond with "{t}"', 'answer in plain text, "{t}"', 'return "{t}"',
    'reply in text: "{t}"',
)  # fmt: skip
_EMPTY = (
    "return nothing", "reply without content", "send an empty reply", "answer with no content",
    "give back an empty response", "return no content", "confirm with an empty answer",
)  # fmt: skip
_TEXTS = (
    ("{ts} {s}", "all {ts} {s}", "{s} and {o}", "no {ts} {s}"),
    (
        "{t} {p}",
        "{t} {p} {s}",
        "{s} {t} {p}",
        "{p}: {s}",
        "{t} no. {p}",
        "{p} is {s}",
        "{s} since {p}",
        "{p} {s}, {o}",
        "{s}: {p}",
    ),
    ("{t} {p} of {q}", "{p}, {q}", "{p} and {q} {s}", "{p} / {q}", "{s} {t} {p} in {q}", "{q}: {t} {p}", "{p} for {q}"),
)
"""Texts to answer with, by the number of parameters."""


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A route."""
    where = path(nouns, rng, rng.choices((0, 1, 2), (2, 6, 2))[0], groups=0.2)
    method = rng.choice(_METHODS)
    if method == "delete" and rng.random() < 0.6:
        return _empty(where, method, rng)
    text = _text(where, rng)
    extra = decoration(rng, _STATUSES, plain=0.45)
    action = rng.choice(_ACTIONS).format(t=text)
    prompt = phrasing.endpoint(method, where, action, (*phrasing.types(where.parameters, rng), *extra.notes), rng)
    code = [*_head(where, method), f"    return text({quoted(text)}{extra.code[0]}){extra.code[1]}"]
    first, second = where.values(rng), where.values(rng)
    status = extra.status or 200
    return row(
        KIND,
        prompt,
        code,
        [
            Check.gives(f"{_seen(where, method, first)}[1:3]", ["text", _filled(text, first)]),
            Check.gives(
                _seen(where, method, second, extra.show), [status, "text", _filled(text, second), *extra.shown]
            ),
            *_bounds(where, method, second, status, rng),
        ],
    )


def _empty(where: Path, method: str, rng: random.Random) -> Row:
    prompt = phrasing.endpoint(method, where, rng.choice(_EMPTY), phrasing.types(where.parameters, rng), rng)
    values = where.values(rng)
    checks = [Check.gives(_seen(where, method, values), [204, "", ""]), *_bounds(where, method, values, 204, rng)]
    return row(KIND, prompt, [*_head(where, method), "    return empty()"], checks)


def _head(where: Path, method: str) -> list[str]:
    return [where.decorator(method), f"def {where.handler}({', '.join(one.name for one in where.parameters)}):"]


def _text(where: Path, rng: random.Random) -> str:
    """A short text that has each parameter of the path once."""
    state, other = rng.sample(words.STATES, 2)
    names = [f"{{{one.name}}}" for one in where.parameters]
    shape = rng.choice(_TEXTS[len(names)])
    first, second = (*names, "", "")[:2]
    return shape.format(t=words.singular(where.handler), ts=where.handler, p=first, q=second, s=state, o=other)


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _seen(where: Path, method: str, values: dict[str, str], show: Sequence[str] = ()) -> str:
    return seen(f"{method.upper()} {where.address(values)}", show=show)


def _bounds(where: Path, method: str, values: dict[str, str], status: int, rng: random.Random) -> list[Check]:
    """That it answers what it should, and nothing else: no value of another type, and no other method."""
    numbers: list[Parameter] = [one for one in where.parameters if one.converter]
    right = _seen(where, method, values)
    if not numbers:
        return [Check.gives(f"[{right}[0], {_seen(where, 'options', values)}[0]]", [status, 405])]
    one = rng.choice(numbers)
    wrong = _seen(where, method, {**values, one.name: one.misfit() or ""})
    return [Check.gives(f"[{right}[0], {wrong}[0]]", [status, 404])]
