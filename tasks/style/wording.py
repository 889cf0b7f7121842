"""How facts are put to the model, and how the house's texts are set."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.style.originals import Fact

PROSE = (
    "Gothic prose",
    "As gothic prose",
    "Prose, dark",
    "For the tale",
    "For our tale, in prose",
    "Tell it as a gothic tale",
    "Retell as prose",
    "Put into the prose of the house",
    "Ghost story, prose",
    "The next of the story",
    "A piece of the novel",
    "For the old novel",
    "Write it for the ghost story",
    "Chapter text from these notes",
    "Story notes to be written out",
    "In the manner of an old tale",
    "Narrate this darkly",
    "Please narrate",
    "To be told by the fire",
    "Winter's tale, prose please",
    "Novel, gothic",
    "Dark prose wanted",
    "Make a tale of it",
    "House prose",
)
COUPLET = (
    "A couplet",
    "Couplet, please",
    "Two lines of verse",
    "Verse, two lines",
    "Rhyme this in two lines",
    "As a rhymed couplet",
    "Two rhymed lines",
    "Make a couplet of it",
    "Verse (2 lines)",
    "In verse, one couplet",
    "Needed: a couplet",
    "Turn into two lines that rhyme",
)
STANZA = (
    "Four lines of verse",
    "A stanza",
    "Verse, four lines",
    "Stanza of four",
    "Rhyme this in four lines",
    "As a stanza, rhymed in pairs",
    "Two couplets",
    "Make a stanza of it",
    "Verse (4 lines)",
    "In verse, two couplets",
    "Needed: a stanza",
    "Turn into four lines that rhyme",
)
COPY = (
    "Shop copy",
    "Copy for the shop",
    "Product copy",
    "Catalogue entry",
    "For the catalogue",
    "Catalogue copy, short",
    "Shop page",
    "Text for the shop page",
    "Label copy",
    "For the swing tag",
    "Web shop text",
    "Product text in our voice",
    "Copy, house voice",
    "Please write the listing",
    "Listing",
    "New in the shop",
    "Spring catalogue",
    "Christmas catalogue",
    "For the market stall card",
    "Write up for the shop",
    "Shop window card",
    "Mail-order copy",
    "From the maker's notes, shop copy",
    "Copy needed",
)


def asked(cues: Sequence[str], facts: Sequence[Fact], rng: random.Random, title: str | None = None) -> str:
    """The prompt: what kind of text is wanted, and the plain facts, laid out in one of several ways.

    Args:
        title: the product's name, which comes first.
    """
    cue, content = rng.choice(cues), _content([fact.plain for fact in facts], rng, title)
    shape = rng.randrange(5)
    if shape == 0:
        return f"{cue}: {content}" if "\n" not in content else f"{cue}:\n{content}"
    if shape == 1:
        return f"{cue}.\n{content}"
    if shape == 2:
        return f"{content}\n{cue}."
    if shape == 3:
        return f"{content}\n({cue[0].lower()}{cue[1:]})"
    return f"[{cue.lower()}] {content}" if "\n" not in content else f"[{cue.lower()}]\n{content}"


def _content(plain: Sequence[str], rng: random.Random, title: str | None) -> str:
    parts = [title, *plain] if title else list(plain)
    layout = rng.randrange(4)
    if layout == 0 and len(parts) > 1:
        return "\n".join(f"- {part.removesuffix('.')}" for part in parts)
    if layout == 1:
        return "; ".join(part.removesuffix(".") for part in parts)
    if layout == 2 and title:
        return f"{title}\n{' '.join(plain)}"
    if layout == 2:
        return "\n".join(parts)
    return " ".join(f"{part.removesuffix('.')}." for part in parts)


def prose(facts: Sequence[Fact]) -> str:
    """The facts as gothic prose."""
    return " ".join(fact.styled for fact in facts)


def verse(facts: Sequence[Fact]) -> str:
    """The facts as lines, rhymed in pairs."""
    marks = (",", ".") if len(facts) == 2 else (",", ";", ",", ".")
    return "\n".join(
        fact.styled if fact.styled.endswith("?") else f"{fact.styled}{mark}"
        for fact, mark in zip(facts, marks, strict=True)
    )


def copy(name: str, facts: Sequence[Fact]) -> str:
    """The facts as copy, which opens with the product's name."""
    return " ".join([f"{name}.", *(fact.styled for fact in facts)])
