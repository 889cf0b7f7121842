"""Routes that pick fields out of a JSON body and answer with JSON."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.code import phrasing, words
from tasks.code.rows import Row, path, row, seen
from tasks.execution import Check

KIND = "body"
_STATUSES = (201, 202, 203)
_ACTIONS = (
    "take {f} from the JSON body and echo {them}", "read {f} from the body and return {them} as JSON",
    "accept {f} and send {them} back", "pick {f} out of the posted JSON and return {them}",
    "echo {f} from the body as JSON", "expect {f} in the body and answer with {them} in JSON", "return {f} as posted",
    "give back just {f} of the JSON sent", "parse {f} from the payload and return {them}",
    "reply in JSON with {f} from the payload", "keep only {f} of the body and return {them}",
    "respond with {f} of the body",
)  # fmt: skip
_CONSTANTS = (
    'add {k} "{v}"', 'the reply also has {k} "{v}"', 'set {k} to "{v}" in the reply', 'with {k} "{v}" beside them',
    'include {k}: "{v}"', 'put {k} = "{v}" in as well', 'mark it {k} "{v}"',
)  # fmt: skip
_ECHOES = (
    "add the {n} from the path", "include {n} from the path", "return the {n} of the path as well",
    "the reply also has the {n}", "put the path's {n} in too",
)  # fmt: skip
_CONSTANT_NAMES = ("state", "stage", "source", "origin", "queue", "mood")


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A route that reads a body."""
    where = path(nouns, rng, rng.choices((0, 1), (3, 1))[0], groups=0.12)
    method = rng.choice(words.METHODS_WITH_BODY)
    taken = {one.name for one in where.parameters}
    fields = rng.sample([name for name in words.FIELDS if name not in taken], rng.choices((1, 2, 3), (4, 5, 2))[0])
    more: list[tuple[str, str, object]] = []  # name, code, value
    action = rng.choice(_ACTIONS).format(f=phrasing.listed(fields, rng), them="it" if len(fields) == 1 else "them")
    notes = phrasing.types(where.parameters, rng)
    if rng.random() < 0.4:
        name, value = rng.choice(_CONSTANT_NAMES), rng.choice(words.STATES)
        more.append((name, repr(value), value))
        notes.append(rng.choice(_CONSTANTS).format(k=name, v=value))
    for one in where.parameters:
        more.append((one.name, one.name, None))
        notes.append(rng.choice(_ECHOES).format(n=one.name))
    status = rng.choice(_STATUSES) if rng.random() < 0.55 else 200
    if status != 200:
        notes.append(phrasing.status(status, rng))
    picked = ", ".join([*map(repr, fields), *(f"{name}={code}" for name, code, _ in more)])
    code = [
        where.decorator(method),
        f"def {where.handler}({', '.join([*taken, 'body'])}):",
        f"    return json(body.pick({picked}){f', {status}' if status != 200 else ''})",
    ]

    def reply(body: Mapping[str, object], values: Mapping[str, str]) -> dict[str, object]:
        echoed = {one.name: _typed(values[one.name], one.converter) for one in where.parameters}
        return {**{name: body[name] for name in fields}, **{name: value for name, _, value in more}, **echoed}

    first, second = where.values(rng), where.values(rng)
    longer: dict[str, object] = {**{name: rng.choice(("ab", "late", 7)) for name in fields}, "extra": 1}
    exact: dict[str, object] = {name: rng.choice(("cd", 31, True, "n o")) for name in fields}
    less = {name: value for name, value in exact.items() if name != fields[-1]}
    asked = f"{method.upper()} {where.address(second)}"
    return row(
        KIND,
        phrasing.endpoint(method, where, action, notes, rng),
        code,
        [
            Check.gives(f"{seen(f'{method.upper()} {where.address(first)}', body=longer)}[2]", reply(longer, first)),
            Check.gives(seen(asked, body=exact), [status, "json", reply(exact, second)]),
            Check.gives(f"[{seen(asked, body=exact)}[0], {seen(asked, body=less)}[0]]", [status, 400]),
        ],
    )


def _typed(value: str, converter: str) -> object:
    return int(value) if converter == "int" else float(value) if converter == "float" else value
