"""Hooks: what is demanded of requests before they are answered, and what is added to responses after."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.code import phrasing, words
from tasks.code.rows import Row, row, seen
from tasks.execution import Check

KIND = "hook"
_EVERYWHERE = (
    "every response",
    "all responses",
    "each reply of the app",
    "everything the app sends",
    "all replies, on any path,",
)
_BELOW = ("responses below {p}", "every reply under {p}", "all of {p}", "each response from {p}", "anything under {p}")
_AFTER = {
    "header": (
        "{w} should carry {n}: {v}.", "Add the header {n} with value {v} to {w}.", "Set {n} to {v} on {w}.", "Stamp {w} with {n}: {v}.",
        "The {role} wants {n}: {v} on {w}.", "{n} must be {v} on {w}.", "Put {n}: {v} on {w}.", "After handling, send {n}: {v} with {w}.",
        "We forgot the header {n}; it is {v} for {w}.", "Tag {w}: {n} = {v}.", "{w} must say {n}: {v} in the headers.",
        "Proxies look for {n}. Give it the value {v} on {w}.", "Header {n} ({v}) belongs on {w}.", "Please attach {n} = {v} to {w}.",
    ),
    "cookie": (
        "{w} should set the cookie {n} to {v}.", "Set cookie {n}={v} on {w}.", "Leave a cookie {n} with value {v} on {w}.",
        "The {role} wants a cookie {n}={v} on {w}.", "Drop the cookie {n}={v} with {w}.", "Store {v} in the cookie {n} on {w}.",
        "Browsers should get {n}={v} as a cookie from {w}.", "After handling, add the cookie {n}={v} to {w}.",
        "Cookie {n} becomes {v} on {w}.",
        "Every visitor gets the cookie {n}={v}, set on {w}.", "We track this with a cookie: {n}={v} on {w}.",
    ),
}  # fmt: skip
_DEMANDED = {"headers": ("header {n}", "{n} header", "header called {n}"), "cookies": ("cookie {n}", "{n} cookie", "cookie named {n}"),
             "query": ("query parameter {n}", "parameter {n} in the query", "{n} in the query string")}  # fmt: skip
_BEFORE = (
    "Requests to {p} without the {d} get a {s}.", "Guard {p}: no {d} means {s}.", "{p} needs the {d}, otherwise {s}.",
    "Before anything under {p} runs, demand the {d}; answer {s} if it is missing.",
    "Fail with {s} when the {d} is missing under {p}.", "Nobody enters {p} without the {d}. Status {s} for the rest.",
    "The {role} must send the {d} for {p}, or get {s}.", "Protect {p} with the {d} (else {s}).",
    "Turn requests below {p} away with {s} unless they bring the {d}.",
    "Check the {d} on {p} before the handlers do; missing is {s}.", "{s} for all calls of {p} that lack the {d}.",
    "Let requests into {p} only with the {d}; refuse others with {s}.", "All of {p} requires the {d}. If absent, {s}.",
    "Without the {d}, {p} should fail with status {s}.", "Make the {d} mandatory for {p} and fail with {s}.",
    "Callers of {p} forget the {d}. Reject them with {s}.", "Under {p} we want the {d}, or a {s} in reply.",
)  # fmt: skip
_CLOSED = (
    'Close {p}: every request there gets "{t}" with {s}.', '{p} is shut. Answer {s} and "{t}" before any handler.',
    'Until the move is over, {p} should only say "{t}" ({s}).', 'Take {p} offline, status {s}, text "{t}".',
    'Before handlers run, answer anything under {p} with "{t}" and {s}.',
    'The {role} asked us to block {p} with {s}: "{t}".', 'For the whole of {p}, cut requests short: {s}, "{t}".',
    'Nothing below {p} may run; reply "{t}" as a {s}.', 'Switch {p} off. Clients read "{t}", status {s}.',
    'Park {p}: reply with {s} and the text "{t}" up front.',
)  # fmt: skip


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A hook of one of three kinds."""
    prefix = f"/{rng.choice(nouns)}" if rng.random() < 0.6 else f"/{rng.choice(words.AREAS)}/{rng.choice(nouns)}"
    kind = rng.choices((_after, _before, _closed), (4, 4, 2))[0]
    return kind(prefix, rng)


def _after(prefix: str, rng: random.Random) -> Row:
    what = rng.choice(("header", "header", "cookie"))
    name = f"X-{rng.choice(words.HEADERS)}" if what == "header" else rng.choice(words.COOKIES)
    value = rng.choice(words.VALUES)
    is_everywhere = rng.random() < 0.25
    where = rng.choice(_EVERYWHERE) if is_everywhere else rng.choice(_BELOW).format(p=prefix)
    frame = rng.choice(_AFTER[what]).format(w=where, n=name, v=value, role=rng.choice(words.ROLES))
    scope = "/" if is_everywhere else prefix
    code = [f"@app.after({scope!r})", "def after(response):", f"    response.{what}({name!r}, {value!r})"]
    inside, outside = _shown(f"{prefix}/kq", name), _shown("/nowhere", name)
    first = Check.gives(_with_route(prefix, seen(f"GET {prefix}/kq", show=[name])), [200, "text", "fine", value])
    second = Check.gives(_with_route(prefix, f"[{inside}, {outside}]"), [value, value if is_everywhere else None])
    return row(KIND, phrasing.joined(frame, [], rng), code, [first, second])


def _before(prefix: str, rng: random.Random) -> Row:
    where = rng.choices(("headers", "cookies", "query"), (3, 3, 2))[0]
    name = (
        f"X-{rng.choice(words.SECRETS)}"
        if where == "headers"
        else rng.choice(words.COOKIES if where == "cookies" else words.TEXTUAL)
    )
    status = rng.choice((400, 401, 403, 404, 409, 422, 429))
    demanded = rng.choice(_DEMANDED[where]).format(n=name)
    frame = rng.choice(_BEFORE).format(p=prefix, d=demanded, s=status, role=rng.choice(words.ROLES))
    code = [f"@app.before({prefix!r})", f"def before({where}):", f"    {where}.need({name!r}, {status})"]
    address = f"GET {prefix}/kq"
    let_in = seen(f"{address}?{name}=b1") if where == "query" else seen(address, sent=(where, {name: "b1"}))
    checks = [
        Check.gives(_with_route(prefix, f"[{let_in}, {seen(address)}[0] >= 400]"), [[200, "text", "fine"], True]),
        Check.gives(_with_route(prefix, f"[{seen(address)}[0], {_on('/elsewhere')}]"), [status, 200]),
    ]
    return row(KIND, phrasing.joined(frame, [], rng), code, checks)


def _closed(prefix: str, rng: random.Random) -> Row:
    status, said = rng.choice((403, 410, 423, 429, 503)), rng.choice(words.APOLOGIES)
    frame = rng.choice(_CLOSED).format(p=prefix, s=status, t=said, role=rng.choice(words.ROLES))
    code = [f"@app.before({prefix!r})", "def before():", f"    return text({said!r}, {status})"]
    checks = [
        Check.gives(_with_route(prefix, f"{seen(f'GET {prefix}/kq')}[2]"), said),
        Check.gives(_with_route(prefix, f"[{seen(f'POST {prefix}')}[0], {_on('/elsewhere')}]"), [status, 200]),
    ]
    return row(KIND, phrasing.joined(frame, [], rng), code, checks)


def _with_route(prefix: str, then: str) -> str:
    """An expression, evaluated when there is a route below the prefix."""
    return f"(app.get('{prefix}/kq')(lambda: text('fine')), {then})[1]"


def _shown(path: str, name: str) -> str:
    return f"{seen(f'GET {path}', show=[name])}[3]"


def _on(path: str) -> str:
    """The status of a route elsewhere."""
    return f"(app.get({path!r})(lambda: text('fine')), {seen(f'GET {path}')}[0])[1]"
