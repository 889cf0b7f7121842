"""What a reply may have beside its content: a status, a header, a cookie."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tasks.code import phrasing, words


@dataclass(frozen=True, slots=True)
class Decoration:
    """A status other than the usual one, a header, or a cookie.

    Attributes:
        code: what follows the content in the call, and what follows the call.
        show: the name of the header or cookie, and its value.
    """

    status: int | None = None
    code: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


def decoration(rng: random.Random, statuses: tuple[int, ...], plain: float) -> Decoration:
    """Nothing with the chance `plain`, otherwise a status, a header or a cookie."""
    if rng.random() < plain:
        return Decoration()
    what = rng.choices(("status", "header", "cookie"), (3, 2, 2))[0]
    if what == "status":
        number = rng.choice(statuses)
        return Decoration(number, (f", {number}", ""), (phrasing.status(number, rng),))
    value = rng.choice(words.VALUES)
    if what == "header":
        name = f"X-{rng.choice(words.HEADERS)}"
        return Decoration(
            None, ("", f".header({name!r}, {value!r})"), (phrasing.header(name, value, rng),), (name,), (value,)
        )
    name = rng.choice(words.COOKIES)
    return Decoration(
        None, ("", f".cookie({name!r}, {value!r})"), (phrasing.cookie(name, value, rng),), (name,), (value,)
    )
