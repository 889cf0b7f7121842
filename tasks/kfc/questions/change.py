"""A chat in which a noted order changes: the answer is the whole order as it stands after the last message.

Conventions: what is added comes last, what replaces something takes its place and its number, and "ek aur" of something in the order
is one more of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import Line, draw, line_of, order_json
from tasks.kfc.questions import order
from tasks.kfc.speech import Voice, count_of, line_in_words, lines_in_words, size_of, typed, voice_in
from tasks.kfc.tables import City, Item

KIND = "change"
NOTED = (
    "Noted: {}. Anything else?",
    "Okay ji, {}. Aur kuch?",
    "{}. Shall I confirm?",
    "Got it, {}.",
    "Your order: {}. Confirm karein?",
    "{}. Kuch aur chahiye?",
    "Done. {}. Anything to add?",
    "So far {}.",
    "Theek hai, {} likh liya.",
    "{}, right?",
    "Sure! {}. Ready in 20 minutes.",
    "I have {}. Correct?",
)
ASKED = (
    "Which size of {name}: {sizes}?",
    "{name} in {sizes}?",
    "{name} mein kaunsa size, {sizes}?",
    "Sure. {sizes} for the {name}?",
    "We have {name} in {sizes}. Which one?",
    "{name}: {sizes}. Kaunsa doon?",
)
BEFORE = ("", "", "", "sorry, ", "wait, ", "actually ", "oh and ", "hmm, ", "one change, ", "ok so ", "please ")
BEFORE_HINDI = ("", "", "", "arre ", "ruko, ", "suno, ", "acha ", "{call}, ", "ek min, ", "haan, ", "nahi nahi, ")
AFTER = ("", "", "", "", " please", " thanks", ", rest same", ", rest is fine", ". that's all", " na")
AFTER_HINDI = ("", "", "", "", " please", ", baaki same", " bas", ", baaki theek hai", " {call}", ", jaldi", " na")
ADD = (
    (
        "add {x}",
        "also {x}",
        "can you add {x}?",
        "and {x} as well",
        "{x} also",
        "put {x} too",
        "one more thing, {x}",
        "plus {x}",
    ),
    (
        "{x} bhi",
        "{x} add kar do",
        "aur {x} bhi de do",
        "saath mein {x}",
        "{x} bhi daal do",
        "{x} bhi laga dena",
        "aur {x}",
    ),
)
MORE = (
    ("one more {name}", "another {name}", "1 extra {name}", "make it one more {name}", "{name}, one more"),
    ("ek aur {name}", "{name} ek aur kar do", "ek extra {name} bhi", "ek {name} aur", "{name} ek aur badha do"),
)
REMOVE = (
    ("remove the {name}", "cancel {name}", "skip the {name}", "don't want {name} now", "no {name}", "leave the {name}"),
    (
        "{name} hata do",
        "{name} cancel",
        "{name} nahi chahiye",
        "{name} rehne do",
        "{name} mat bhejna",
        "{name} nikal do",
    ),
)
COUNT = (
    (
        "make it {q} {name}",
        "{name} should be {q}",
        "I need {q} {name}",
        "{q} {name} instead",
        "change {name} to {q}",
    ),
    ("{name} {q} kar do", "{name} {q} chahiye", "{q} {name} kar dena", "{name} total {q}", "{name} ka {q} karo"),
)
RESIZE = (
    (
        "make the {name} {size}",
        "{size} for the {name}",
        "{name} in {size}",
        "I meant {size} {name}",
        "{name} should be {size}",
    ),
    (
        "{name} {size} kar do",
        "{name} {size} mein dena",
        "{size} kar do {name}",
        "{name} {size} chahiye",
        "{name} {size} do",
    ),
)
SWAP = (
    ("instead of {name} give {new}", "swap {name} for {new}", "replace {name} with {new}", "{new} in place of {name}"),
    ("{name} ki jagah {new} de do", "{name} hata ke {new} kar do", "{name} nahi, {new} karo", "{name} ke badle {new}"),
)
SIZE = (
    ("{size}", "{size} one", "the {size}", "{size} will do", "go with {size}"),
    ("{size}", "{size} hi", "{size} de do", "{size} kar do"),
)
"""Wordings of each change, in English and in Hinglish."""


@dataclass(frozen=True, slots=True)
class State:
    """An order as it stands."""

    lines: tuple[Line, ...]
    mode: str | None = None


Change = Callable[[State, "Talk"], tuple[str, State] | None]


@dataclass(frozen=True, slots=True)
class Talk:
    """What the customer's messages are drawn from."""

    menu: Mapping[str, Item]
    voice: Voice
    rng: random.Random

    def say(self, wordings: tuple[Sequence[str], Sequence[str]], **parts: str) -> str:
        """A wording with its parts."""
        return self.voice.of(*wordings, self.rng).format(**parts)

    def short(self, item: Item) -> str:
        """An item as somebody names it who has named it before."""
        return item.name if self.rng.random() < 0.6 else self.rng.choice(item.spoken)


def question(menu: Mapping[str, Item], cities: Sequence[City], split: Split, rng: random.Random) -> Example:
    """A chat of one or two changes; the items of the first order belong to the split together."""
    while True:
        voice = voice_in(rng.choice(cities), rng)
        # after the first message, all write English or Hinglish
        later = voice if voice.language == "English" else replace(voice, language="Hindi")
        talk = Talk(menu, later, rng)
        state = State(tuple(draw(menu, rng.choice((1, 1, 2, 2, 2)), rng, split=split)))
        history = [("user", order.message(lines_in_words(state.lines, voice, rng), voice, rng))]
        if rng.random() < 0.1 and (step := _step(state, talk)):
            history += [("assistant", noted(state, rng)), ("user", step[0])]
            state = step[1]
        unsized = [line for line in state.lines if line.item.sizes and line.size is None]
        if unsized:
            history.append(("assistant", _asked(unsized[0], rng)))
            text, state = _sized(state, unsized[0], talk)
        else:
            history.append(("assistant", noted(state, rng)))
            last = _step(state, talk)
            if last is None:
                continue
            text, state = last
        return Example(text, order_json(state.lines, state.mode), kind=KIND, history=tuple(history))


def noted(state: State, rng: random.Random) -> str:
    """The chain's answer to an order: what it has noted, in words."""
    said = [
        f"{line.quantity} {line.item.name}"
        + (f" {line.size}" if line.size else "")
        + (f" (no {line.without})" if line.without else "")
        for line in state.lines
    ]
    text = rng.choice(NOTED).format(", ".join(said))
    return text[:1].upper() + text[1:]


def _asked(line: Line, rng: random.Random) -> str:
    sizes = ", ".join(line.item.sizes[:-1]) + f" or {line.item.sizes[-1]}"
    text = rng.choice(ASKED).format(name=line.item.name, sizes=sizes)
    return text[:1].upper() + text[1:]


def _sized(state: State, line: Line, talk: Talk) -> tuple[str, State]:
    size = talk.rng.choice(line.item.sizes)
    text = talk.say(SIZE, size=size_of(size, talk.voice, talk.rng))
    return typed(text, talk.rng), _with(state, line, replace(line, size=size))


def _step(state: State, talk: Talk) -> tuple[str, State] | None:
    """One change, in a message; None if it cannot be made."""
    change = talk.rng.choice(CHANGES)(state, talk)
    if change is None:
        return None
    voice, rng = talk.voice, talk.rng
    call = rng.choice(voice.city.called)
    before = voice.of(BEFORE, BEFORE_HINDI, rng).format(call=call)
    after = voice.of(AFTER, AFTER_HINDI, rng).format(call=call)
    return typed(f"{before}{change[0]}{after if not change[0].endswith('?') else ''}", rng), change[1]


def _added(state: State, talk: Talk) -> tuple[str, State] | None:
    names = {line.item.name for line in state.lines}
    item = talk.rng.choice([item for item in talk.menu.values() if item.name not in names and item.part != "combo"])
    line = replace(line_of(item, talk.rng), without=None)
    text = talk.say(ADD, x=line_in_words(line, talk.voice, talk.rng))
    return text, replace(state, lines=(*state.lines, line))


def _one_more(state: State, talk: Talk) -> tuple[str, State] | None:
    line = talk.rng.choice(state.lines)
    if line.quantity > 2 or line.without:
        return None
    return talk.say(MORE, name=talk.short(line.item)), _with(state, line, replace(line, quantity=line.quantity + 1))


def _removed(state: State, talk: Talk) -> tuple[str, State] | None:
    if len(state.lines) < 2:
        return None
    line = talk.rng.choice(state.lines)
    kept = tuple(other for other in state.lines if other is not line)
    return talk.say(REMOVE, name=talk.short(line.item)), replace(state, lines=kept)


def _counted(state: State, talk: Talk) -> tuple[str, State] | None:
    line = talk.rng.choice(state.lines)
    number = talk.rng.choice([number for number in range(1, 7) if number != line.quantity])
    text = talk.say(COUNT, name=talk.short(line.item), q=count_of(number, talk.voice, talk.rng))
    return text, _with(state, line, replace(line, quantity=number))


def _resized(state: State, talk: Talk) -> tuple[str, State] | None:
    line = talk.rng.choice(state.lines)
    others = [size for size in line.item.sizes if size != line.size]
    if not others:
        return None
    size = talk.rng.choice(others)
    text = talk.say(RESIZE, name=talk.short(line.item), size=size_of(size, talk.voice, talk.rng))
    return text, _with(state, line, replace(line, size=size))


def _swapped(state: State, talk: Talk) -> tuple[str, State] | None:
    line = talk.rng.choice(state.lines)
    names = {other.item.name for other in state.lines}
    item = talk.rng.choice(
        [item for item in talk.menu.values() if item.name not in names and item.part == line.item.part] or [line.item]
    )
    if item is line.item:
        return None
    size = talk.rng.choice(item.sizes) if item.sizes else None
    new = f"{item.name} {size_of(size, talk.voice, talk.rng)}" if size else talk.short(item)
    return talk.say(SWAP, name=talk.short(line.item), new=new), _with(state, line, Line(item, line.quantity, size))


def _taken(state: State, talk: Talk) -> tuple[str, State] | None:
    mode = talk.rng.choice(list(order.MODES))
    return talk.voice.of(*order.MODES[mode], talk.rng), replace(state, mode=mode)


CHANGES: Sequence[Change] = (
    _added,
    _added,
    _one_more,
    _removed,
    _counted,
    _counted,
    _resized,
    _swapped,
    _swapped,
    _taken,
)


def _with(state: State, line: Line, new: Line) -> State:
    return replace(state, lines=tuple(new if other is line else other for other in state.lines))
