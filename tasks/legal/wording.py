"""The notation of the hand-written texts, and how a text becomes the words of a clause.

| written | becomes |
| --- | --- |
| `[at|from|]` | one of the alternatives, which may be empty |
| `{A}`, `{B}`, `{A's}` | the party that the answer names, the other party, the possessive |
| `{A agrees/agree}` | the party, and the verb in its number |
| `{A:its/their}` | the word in the number of the party |
| `{deal}`, `{ship}`, `{goods}` | as the contract calls them |
| `{form}`, `{to}` | a form of notice; whom it goes to: the other party, or its agents |
| `{days 7 30}` | a figure of `tasks.legal.figures` between two bounds |
| `{*days 7 30}` | likewise; the figure that the answer gives |
| `{c1}` and other names | a text that the caller gives |
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.legal.figures import figure
from tasks.legal.parties import Contract, Party

FORMS = (
    "in writing",
    "in writing",
    "by email",
    "by courier",
    "by registered post",
    "by hand",
    "by recorded delivery",
    "by certified mail",
    "by fax",
    "by signed letter",
    "by registered letter",
    "in writing through the brokers",
    "by email and courier",
    "by letter or email",
)
ADDRESSEES = ("agents", "brokers", "legal department", "head office", "managers", "solicitors")
_ITSELF = 0.6
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(slots=True)
class Written:
    """A clause in words.

    Attributes:
        figure: the figure that answers give; empty if the text has none.
        form: how notice is given; empty without one.
        to: whom notice is given to, without article; empty without one.
        a: the party `{A}`, as in answers.
    """

    text: str
    a: str
    figure: str = ""
    form: str = ""
    to: str = ""


@dataclass(slots=True)
class _Slots:
    a: Party
    b: Party
    contract: Contract
    given: Mapping[str, str]
    rng: random.Random
    written: Written = field(init=False)

    def __post_init__(self) -> None:
        self.written = Written("", self.a.answer)

    def fill(self, slot: str) -> str:
        """The words for a slot."""
        if slot in self.given:
            return self.given[slot]
        if slot[:1] in ("A", "B"):
            return _of_party(self.a if slot[0] == "A" else self.b, slot[1:])
        if slot in ("deal", "ship", "goods"):
            return str(getattr(self.contract, slot))
        if slot == "ship's":
            return f"{self.contract.ship}'s"
        if slot == "form":
            self.written.form = self.rng.choice(FORMS)
            return self.written.form
        if slot == "to":
            return self._addressee()
        return self._figure(slot)

    def _addressee(self) -> str:
        if self.rng.random() < _ITSELF:
            self.written.to = self.b.answer
            return self.b.text
        whom = f"{self.b.possessive} {self.rng.choice(ADDRESSEES)}"
        self.written.to = whom.removeprefix("the ")
        return whom

    def _figure(self, slot: str) -> str:
        kind, *bounds = slot.removeprefix("*").split()
        low, high = map(int, bounds or (0, 0))
        made = figure(kind, low, high, self.contract.world, self.rng)
        if slot.startswith("*"):
            self.written.figure = made.answer
        return made.text


def write(
    body: str, contract: Contract, side: str, rng: random.Random, given: Mapping[str, str] | None = None
) -> Written:
    """A text with its alternatives chosen and its slots filled."""
    a, b = contract.sides(side, rng)
    slots = _Slots(a, b, contract, given or {}, rng)
    text = _SLOT.sub(lambda match: slots.fill(match[1]), choose(body, rng))
    slots.written.text = sentences(text)
    return slots.written


def choose(body: str, rng: random.Random) -> str:
    """The text with one of each alternatives."""
    while _CHOICE.search(body):
        body = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), body)
    return body


def sentences(text: str) -> str:
    """The text with single spaces, capitals at the beginning of sentences, and a full stop at its end."""
    text = re.sub(r"\s+([,.;:])", r"\1", " ".join(text.split()))
    text = re.sub(r"[,;]+([.;])", r"\1", text)
    text = re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _of_party(party: Party, rest: str) -> str:
    if not rest:
        return party.text
    if rest == "'s":
        return party.possessive
    singular, plural = rest[1:].split("/")
    word = plural if party.plural else singular
    return word if rest.startswith(":") else f"{party.text} {word}"
