"""Routes that read parameters of the query, with their types and defaults, and answer with JSON."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.code import phrasing, words
from tasks.code.rows import Row, path, row, seen
from tasks.execution import Check

KIND = "query"
_ACTIONS = (
    "read {q} from the query and return {them} as JSON", "take {q} as query parameters and echo {them} in JSON",
    "accept {q} after the question mark and return {them}",
    "understand the query parameters {q} and reply with {them} in JSON", "answer in JSON with {q} from the query string",
    "return {q} as JSON, read from the query", "parse {q} from the query string and return {them}",
    "look at {q} in the query and send {them} back as JSON", "give back {q} of the query as JSON",
    "let callers pass {q} in the query, and echo {them}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter: how it is described, its default as code, its default, a value as it is sent and read, and a bad one."""

    name: str
    described: str
    code: str
    default: object
    sent: str
    value: object
    bad: str | None

    @property
    def is_required(self) -> bool:
        return self.default is None


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A route that reads the query."""
    where = path(nouns, rng, 0, groups=0.08)
    asked: dict[str, _Parameter] = {}
    for _ in range(rng.choices((1, 2, 3), (3, 6, 2))[0]):
        one = rng.choices((_counted, _chosen, _switch, _required), (4, 3, 2, 3))[0](rng)
        asked.setdefault(one.name, one)
    wanted = list(asked.values())
    them = "it" if len(wanted) == 1 else "them"
    action = rng.choice(_ACTIONS).format(q=phrasing.listed([one.described for one in wanted], rng), them=them)
    method, address = "get", f"GET {where.address({})}"
    code = [
        where.decorator(method),
        f"def {where.handler}(query):",
        f"    return json(query.read({', '.join(f'{one.name}={one.code}' for one in wanted)}))",
    ]
    least = [one for one in wanted if one.is_required]
    full = {one.name: one.value for one in wanted}
    checks = [
        Check.gives(seen(f"{address}{_query(wanted)}"), [200, "json", full]),
        Check.gives(
            seen(f"{address}{_query(least)}")[0:] + "[2]",
            {one.name: one.value if one.is_required else one.default for one in wanted},
        ),
    ]
    right = f"{seen(f'{address}{_query(wanted)}')}[0]"
    if least:
        checks.append(Check.gives(f"[{right}, {seen(address)}[0]]", [200, 400]))
    elif any(one.bad for one in wanted):
        wrong = next(one for one in wanted if one.bad)
        checks.append(Check.gives(f"[{right}, {seen(f'{address}?{wrong.name}={wrong.bad}')}[0]]", [200, 400]))
    return row(KIND, phrasing.endpoint(method, where, action, [], rng), code, checks)


def _query(wanted: Sequence[_Parameter]) -> str:
    return "?" * bool(wanted) + "&".join(f"{one.name}={one.sent}" for one in wanted)


def _counted(rng: random.Random) -> _Parameter:
    name, default = rng.choice(words.COUNTED), rng.choice((0, 1, 2, 5, 10, 20, 25, 50, 100))
    value = rng.choice([number for number in (3, 4, 8, 12, 60) if number != default])
    shapes = (
        "{n} (default {d})",
        "{n} ({d} by default)",
        "{n} ({d} if missing)",
        "{n} (else {d})",
        "{n} = {d}",
        "{n} (usually {d})",
    )
    return _Parameter(
        name, rng.choice(shapes).format(n=name, d=default), str(default), default, str(value), value, "many"
    )


def _chosen(rng: random.Random) -> _Parameter:
    name = rng.choice(list(words.CHOSEN))
    default, value = rng.sample(words.CHOSEN[name], 2)
    shapes = (
        '{n} (default "{d}")',
        '{n} ("{d}" by default)',
        '{n} ("{d}" if missing)',
        '{n} (else "{d}")',
        '{n} = "{d}"',
        '{n} (usually "{d}")',
    )
    return _Parameter(name, rng.choice(shapes).format(n=name, d=default), repr(default), default, value, value, None)


def _switch(rng: random.Random) -> _Parameter:
    name, default = rng.choice(words.SWITCHES), rng.random() < 0.3
    on, off = (
        ("on by default", "true if missing", "default true"),
        ("off by default", "false if missing", "default false"),
    )
    described = f"{name} ({rng.choice(on if default else off)})"
    return _Parameter(name, described, str(default), default, "no" if default else "yes", not default, "maybe")


def _required(rng: random.Random) -> _Parameter:
    if rng.random() < 0.5:
        name, value = rng.choice(words.COUNTED), rng.randint(3, 80)
        shapes = (
            "{n} (required int)",
            "{n} (an integer, required)",
            "{n} (int, must be there)",
            "{n} (whole number, required)",
        )
        return _Parameter(name, rng.choice(shapes).format(n=name), "int", None, str(value), value, "many")
    name, text = rng.choice(words.TEXTUAL), rng.choice(("oslo", "fern", "b12", "9"))
    shapes = ("{n} (required text)", "{n} (text, required)", "{n} (a string, must be there)", "{n} (required string)")
    return _Parameter(name, rng.choice(shapes).format(n=name), "str", None, text, text, None)
