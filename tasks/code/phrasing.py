"""How people ask for an endpoint: frames for the whole, and clauses for types, statuses, headers and cookies."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.code import words
from tasks.code.rows import Parameter, Path

_FRAMES = (
    "{M} {P} should {vp}.",
    "Make {M} {P} {vp}.",
    "We need {M} {P} to {vp}.",
    "{M} {P} has to {vp}.",
    "{M} {P} must {vp}.",
    "New route, {M} {P}: it should {vp}.",
    "When a client calls {M} {P}, {vp}.",
    "On {M} {P}, {vp}.",
    "For {M} requests to {P}, {vp}.",
    "Please let {M} {P} {vp}.",
    "Could you have {M} {P} {vp}?",
    "TODO: {M} {P} must {vp}.",
    "Endpoint {P} ({M}): {vp}.",
    "{VP} whenever someone sends {M} {P}.",
    "{VP} on {M} {P}.",
    "{VP} for each {M} to {P}.",
    "I would like {M} {P} to {vp}.",
    "Still missing: {M} {P}, which should {vp}.",
    "Clients get an error from {M} {P}; it should {vp}.",
    "The {role} asked for {M} {P} to {vp}.",
    "path {P}, method {M}: {vp}.",
    "{P}, {M} only: {vp}.",
    "hey, {M} {P} does nothing yet, can it {vp}?",
    "For the {role}: {M} {P} should {vp}.",
    "Wire up {M} {P} for the {role}. It has to {vp}.",
    "The {role} calls {M} {P} and expects the app to {vp}.",
    "Register {P} for {M}. {VP}.",
    "Expose {P} over {M}; {vp}.",
    "Let the {role} use {M} {P}: {vp}.",
    "As agreed with the {role}, {M} {P} will {vp}.",
    "Spec change: {M} {P} now has to {vp}.",
    "Add a handler for {M} {P} to {vp}.",
)
_LISTS = (
    "{M} {P}\n{items}",
    "path: {P}\nmethod: {M}\n{items}",
    "Route {M} {P}\n{items}",
    "{role}: {M} {P}\n{items}",
    "Needed: {M} {P}\n{items}",
)
_WHOLE = (
    "{n} is an int", "{n} is a whole number", "{n} must be an integer", "take {n} as an integer",
    "only whole numbers for {n}", "{n}: int", "{n} is an integer", "{n} should be an int", "accept just integers as {n}",
    "{n} has type int",
)  # fmt: skip
_DECIMAL = (
    "{n} is a float", "{n} is a decimal number", "{n} may have decimals", "take {n} as a float", "{n}: float",
    "{n} should be a float", "{n} has a decimal point", "decimals are fine for {n}", "{n} has type float",
)  # fmt: skip
_TEXT = ("{n} is text", "{n} can be any text", "{n}: text", "{n} is a plain string", "any {n} will do")
_STATUS = (
    "status {s}", "use status {s}", "the status is {s}", "respond with {s}", "code {s}", "send it as a {s}",
    "status code {s}, please", "it is a {s}", "answer with a {s}",
)  # fmt: skip
_HEADER = (
    "set {h} to {v}", "header {h}: {v}", "send {h}: {v} along", "add the header {h} with value {v}", "put {v} in {h}",
    "the reply carries {h}: {v}", "{h} should be {v}", "attach {h}: {v}",
)  # fmt: skip
_COOKIE = (
    "set cookie {h}={v}", "set the cookie {h} to {v}", "drop a cookie {h}={v}",
    "leave a cookie named {h} with value {v}", "cookie {h}: {v}", "store {v} in the cookie {h}",
    "the cookie {h} becomes {v}",
)  # fmt: skip
_GROUPS = (
    "{P} in the group {g}",
    "{P} of group {g}",
    "{P} (group {g})",
    "{P} inside group {g}",
    "{P} within the {g} group",
)


def endpoint(method: str, path: Path, action: str, notes: Sequence[str], rng: random.Random) -> str:
    """An instruction to write an endpoint.

    Args:
        action: what it does, as a verb phrase in its base form.
        notes: further clauses, such as types of parameters and a status.
    """
    named = rng.choice(_GROUPS).format(P=path.asked, g=path.group) if path.group else path.asked
    parts = {"M": method.upper(), "P": named, "role": rng.choice(words.ROLES)}
    if rng.random() < 0.15:
        items = [action, *rng.sample(notes, len(notes))]
        mark = rng.choice(("- ", "* ", "", "-> "))
        return capital(rng.choice(_LISTS).format(**parts, items="\n".join(mark + item for item in items)))
    frame = rng.choice(_FRAMES)
    left = list(notes)
    if left and "{P} " in frame and "{P} (" not in frame and not path.group and rng.random() < 0.2:
        parts["P"] = f"{named} ({left.pop(0)})"
    return joined(frame.format(**parts, vp=action, VP=capital(action)), left, rng)


def joined(sentence: str, notes: Sequence[str], rng: random.Random) -> str:
    """A sentence with its further clauses: as sentences, or behind semicolons; now and then in haste."""
    notes = rng.sample(notes, len(notes))
    if rng.random() < 0.4 and notes and sentence.endswith("."):
        whole = "; ".join([sentence.removesuffix("."), *notes]) + "."
    else:
        whole = " ".join([sentence, *(f"{capital(note)}." for note in notes)])
    whole = capital(whole)
    if rng.random() < 0.12:
        return whole[0].lower() + whole[1:].removesuffix(".") if not whole[:2].isupper() else whole.removesuffix(".")
    return whole


def capital(text: str) -> str:
    """With a capital letter, unless it begins with the name of a parameter or header, which is not touched."""
    first = text.split(" ", 1)[0].rstrip(":")
    return text if first in _NAMES or not text[0].isalpha() else text[0].upper() + text[1:]


def types(parameters: Sequence[Parameter], rng: random.Random) -> list[str]:
    """A clause for each parameter that is a number, and for some that are text."""
    notes = []
    for one in parameters:
        clauses = {"int": _WHOLE, "float": _DECIMAL}.get(one.converter, _TEXT)
        if one.converter or rng.random() < 0.3:
            notes.append(rng.choice(clauses).format(n=one.name))
    if (
        len(parameters) == 2
        and len({one.converter for one in parameters}) == 1
        and parameters[0].converter
        and rng.random() < 0.5
    ):
        kind = {"int": ("integers", "whole numbers", "ints"), "float": ("floats", "decimal numbers", "floats")}
        names = f"{parameters[0].name} and {parameters[1].name}"
        return [f"{names} are {rng.choice(kind[parameters[0].converter])}"]
    return notes


def status(number: int, rng: random.Random) -> str:
    """A clause for a status."""
    return rng.choice(_STATUS).format(s=number)


def header(name: str, value: str, rng: random.Random) -> str:
    """A clause for a header of the reply."""
    return rng.choice(_HEADER).format(h=name, v=value)


def cookie(name: str, value: str, rng: random.Random) -> str:
    """A clause for a cookie of the reply."""
    return rng.choice(_COOKIE).format(h=name, v=value)


def listed(items: Sequence[str], rng: random.Random) -> str:
    """Items in a row: "a, b and c", or with a plain comma or plus."""
    if len(items) == 1:
        return items[0]
    last = (
        rng.choice((" and ", " and ", ", ", " + ", " plus "))
        if len(items) == 2
        else rng.choice((" and ", ", and ", ", "))
    )
    return ", ".join(items[:-1]) + last + items[-1]


_NAMES = {*words.WHOLE, *words.TEXTUAL, *words.DECIMAL, *words.COUNTED, *words.CHOSEN, *words.FIELDS, *words.SWITCHES}
