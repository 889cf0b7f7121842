"""The hand-written texts: files of bodies by section, and their division over the splits.

A file begins with `parties: WORLD SIDE`, and `notices: SIDE` where its notices go the other way. Sections begin with `== NAME`, and
each of their lines is a text in the notation of `tasks.legal.wording`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.generation import Split

FOLDER = Path(__file__).parent
_HEAD = "parties: "
_NOTICES = "notices: "
_SECTION = "== "


@dataclass(frozen=True, slots=True)
class Texts:
    """One file.

    Attributes:
        name: the file's name in words: the type of its clauses.
        world: the contracts that the texts fit: `sea` (charter parties), `goods` (sales), `land` (sales and services) or `any`.
        side: which party of a pair is `{A}`: `first` (owner, seller), `second` (charterer, buyer) or `either`.
        notice_side: which party is `{A}` in its notices, whose addressee is `{B}`.
        sections: the texts by section, in the order of the file.
    """

    name: str
    world: str
    side: str
    notice_side: str
    sections: Mapping[str, tuple[str, ...]]


def read(name: str) -> Texts:
    """A file of this folder, for example `caps.txt`."""
    file = FOLDER / name
    head, *lines = file.read_text(encoding="ascii").splitlines()
    world, side = head.removeprefix(_HEAD).split()
    notice_side = side
    sections: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(_SECTION):
            section = sections.setdefault(line.removeprefix(_SECTION), [])
        elif line.startswith(_NOTICES):
            notice_side = line.removeprefix(_NOTICES)
        elif line:
            section.append(line)
    made = {name: tuple(texts) for name, texts in sections.items()}
    return Texts(file.stem.replace("_", " "), world, side, notice_side, made)


def clauses() -> tuple[Texts, ...]:
    """The files of the clause types, by name."""
    return tuple(read(f"clauses/{file.name}") for file in sorted((FOLDER / "clauses").glob("*.txt")))


def divide(texts: Sequence[str], rng: random.Random) -> dict[Split, list[str]]:
    """About a sixth of the texts each for validation and test, the rest for train; no text is in two splits."""
    shuffled = rng.sample(texts, len(texts))
    held_out = max(1, len(texts) // 6)
    return {
        "train": shuffled[2 * held_out :],
        "validation": shuffled[:held_out],
        "test": shuffled[held_out : 2 * held_out],
    }


def part(texts: Texts, split: Split, rng: random.Random, *, shared: Sequence[str] = ()) -> Texts:
    """The file with what each of its sections has for a split; `shared` sections are whole in all of them.

    Args:
        rng: the same state for each split.
    """
    own = {name: tuple(divide(section, rng)[split]) for name, section in texts.sections.items() if name not in shared}
    whole = {name: texts.sections[name] for name in shared}
    return replace(texts, sections={**own, **whole})
