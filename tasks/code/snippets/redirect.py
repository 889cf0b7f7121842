"""Routes that send clients to another address, for now or for good."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.code import phrasing, words
from tasks.code.rows import Path, Row, path, quoted, row, seen
from tasks.execution import Check

KIND = "redirect"
_GOOD = ("for good", "permanently", "forever", "once and for all")
_NOW = ("for now", "temporarily", "for the time being", "until further notice")
_ACTIONS = (
    "redirect to {t} {h}",
    "send clients to {t} {h}",
    "forward to {t} {h}",
    "point to {t} {h}",
    "take visitors to {t} {h}",
)
_OWN = (
    "{p} has moved {h} to {t}.", "{h}, {p} is found at {t}; redirect GET requests.",
    "Old links to {p} must land on {t} {h}.", "We renamed {p}. Redirect to {t} {h}.", "Redirect {p} to {t} {h}.",
    "{p} -> {t}, {h}.", "Bookmarks for {p} should go to {t}, {h}.", "Anyone who opens {p} belongs on {t} {h}.",
    "The {role} moved {p} {h}; its new address is {t}.", "Keep {p} alive {h} by redirecting it to {t}.",
    "{p} is an alias of {t} {h}.", "Visitors of {p} go to {t} {h}.", "From {p} to {t}, {h}: write the redirect.",
    "{p} lives at {t} {h}. Make the old address redirect.", "If someone asks for {p}, hand them over to {t} {h}.",
    "Swap {p} for {t} {h} with a redirect.", "Requests for {p} belong to {t} {h}.", "Redirect needed {h}: {p} => {t}.",
)  # fmt: skip


def make(nouns: Sequence[str], rng: random.Random) -> Row:
    """A redirect."""
    where = path(nouns, rng, rng.choices((0, 1, 2), (3, 6, 1))[0])
    target = _target(where, nouns, rng)
    is_for_good = rng.random() < 0.5
    how = rng.choice(_GOOD if is_for_good else _NOW)
    notes = phrasing.types(where.parameters, rng)
    if rng.random() < 0.35:
        action = rng.choice(_ACTIONS).format(h=how, t=target)
        prompt = phrasing.endpoint("get", where, action, notes, rng)
    else:
        frame = rng.choice(_OWN).format(p=where.asked, t=target, h=how, role=rng.choice(words.ROLES))
        prompt = phrasing.joined(frame, notes, rng)
    code = [
        where.decorator("get"),
        f"def {where.handler}({', '.join(one.name for one in where.parameters)}):",
        f"    return redirect({quoted(target)}{', 301' if is_for_good else ''})",
    ]
    first, second = where.values(rng), where.values(rng)
    shown = seen(f"GET {where.address(second)}", show=["Location"])
    status = 301 if is_for_good else 302
    checks = [
        Check.gives(f"{seen(f'GET {where.address(first)}', show=['Location'])}[3]", target.format(**first)),
        Check.gives(f"{shown}[0::3]", [status, target.format(**second)]),
    ]
    numbers = [one for one in where.parameters if one.converter]
    if numbers:
        wrong = where.address({**second, numbers[0].name: numbers[0].misfit() or ""})
        checks.append(Check.gives(f"[{shown}[0], {seen(f'GET {wrong}')}[0]]", [status, 404]))
    return row(KIND, prompt, code, checks)


def _target(where: Path, nouns: Sequence[str], rng: random.Random) -> str:
    """Another address, with the parameters of the path."""
    noun = rng.choice([noun for noun in nouns if noun not in where.segments])
    names = [f"{{{one.name}}}" for one in where.parameters]
    base = f"/{rng.choice(words.AREAS)}/{noun}" if rng.random() < 0.4 else f"/{noun}"
    if names and rng.random() < 0.2:
        return f"{base}?{where.parameters[0].name}={names[0]}" + "".join(
            f"&{one.name}={{{one.name}}}" for one in where.parameters[1:]
        )
    return "/".join([base, *names])
