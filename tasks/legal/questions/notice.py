"""What notice is due: `14 days; in writing; Seller`.

The answer has the time, the form and whom the notice goes to, as the clause words them: `Buyer's solicitors` if the clause names them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from tasks.example import Example
from tasks.legal.drawing import Drawer, cycle
from tasks.legal.layout import asked
from tasks.legal.library import Texts
from tasks.legal.parties import Names, contract
from tasks.legal.wording import write

KIND = "notice"
QUESTIONS = (
    "Notice: time; form; addressee?",
    "Time limit, form and addressee of the notice?",
    "How much time, which form, which addressee?",
    "What must be sent, when, how and to whom? Give time; form; addressee.",
    "Notice particulars (time, form, addressee):",
    "Diary entry for this notice: time; form; addressee.",
    "State the time allowed, the form and the addressee.",
    "By when, in what form, to which addressee?",
    "Notice requirement: time, form, addressee?",
    "Which time, which form, which addressee?",
    "Note the time, the form and the addressee.",
    "We must serve this notice correctly: time, form, addressee?",
    "In how much time, in which form, to whom must word be given?",
    "Time; form; addressee?",
    "What does the clause want: how much time, which form, to whom?",
    "Service of notice: time, form, addressee.",
    "Time, form and addressee of the communication?",
    "Extract the notice time, the form and the addressee.",
    "Notice due: time; form; to whom?",
    "Time / form / addressee of the notice:",
)
_TAIL = 0.45


def questions(types: Sequence[Texts], names: Names, count: int, drawer: Drawer, rng: random.Random) -> list[Example]:
    """`count` questions, spread evenly over the notices of all types that have some."""
    bodies = cycle([(kind, body) for kind in types for body in kind.sections.get("notice", ())], rng)
    chosen = [next(bodies) for _ in range(count)]
    return [drawer.draw([body], partial(_question, kind, body, names, rng)) for kind, body in chosen]


def _question(kind: Texts, body: str, names: Names, rng: random.Random) -> Example:
    between = contract(kind.world, names, rng)
    written = write(body, between, kind.notice_side, rng)
    text = written.text
    if rng.random() < _TAIL:
        other = write(rng.choice(kind.sections["tail"]), between, kind.side, rng).text
        text = rng.choice((f"{text} {other}", f"{other} {text}"))
    answer = f"{written.figure}; {written.form}; {written.to}"
    return Example(asked(text, rng.choice(QUESTIONS)), answer, kind=KIND)
