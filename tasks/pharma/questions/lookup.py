"""Questions that are looked up: the text holds the key word of one of the rules in the prompt, and this rule has the answer."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.example import Example
from tasks.pharma.tables import Text

RULES = 3
JOINTS = ("; ", " | ", " / ", "\n")
QUOTES = ("{}", "{}", "{}", '"{}"', "'{}'")


@dataclass(frozen=True, slots=True)
class Wording:
    """How a kind is worded.

    Attributes:
        places: where a text stands, with `{}` for a number; the first item of the answer.
        heads: the words around a place (`{}`) before its text.
        rule_heads: the words before the rules.
        arrows: what stands between a key word and the name it leads to.
    """

    places: tuple[str, ...]
    heads: tuple[str, ...]
    rule_heads: tuple[str, ...]
    arrows: tuple[str, ...]


def questions(
    texts: Sequence[Text],
    keywords: Mapping[str, Sequence[str]],
    kind: str,
    wording: Wording,
    count: int,
    rng: random.Random,
) -> list[Example]:
    """`count` different questions, spread evenly over the texts.

    Args:
        texts: the split's own.
        keywords: the key words of each name; each text holds at least one of its name.
        kind: of the examples.
        wording: of the prompts.
        count: how many.
        rng: the source of chance.
    """
    made: dict[str, Example] = {}
    names = sorted({text.answer for text in texts})
    for text in _in_rounds(texts, rng):
        if len(made) == count:
            break
        example = _question(text, names, keywords, wording, kind, rng)
        made.setdefault(example.prompt, example)
    return list(made.values())


def holds(text: str, keyword: str) -> bool:
    """Whether a text holds a key word as whole words, in any case."""
    return re.search(rf"(?<![\w-]){re.escape(keyword)}(?![\w-])", text, re.IGNORECASE) is not None


def _question(
    text: Text,
    names: Sequence[str],
    keywords: Mapping[str, Sequence[str]],
    wording: Wording,
    kind: str,
    rng: random.Random,
) -> Example:
    key = rng.choice([word for word in keywords[text.answer] if holds(text.text, word)])
    rivals = rng.sample([name for name in names if name != text.answer], RULES - 1)
    rules = [(rng.choice([word for word in keywords[name] if not holds(text.text, word)]), name) for name in rivals]
    rules.append((key, text.answer))
    rng.shuffle(rules)
    place = rng.choice(wording.places).format(rng.randint(2, 980))
    arrow, joint = rng.choice(wording.arrows), rng.choice(JOINTS)
    table = f"{rng.choice(wording.rule_heads)}{joint.join(f'{word}{arrow}{name}' for word, name in rules)}"
    asked = f"{rng.choice(wording.heads).format(place)}{rng.choice(QUOTES).format(text.text)}"
    asked = asked[:1].upper() + asked[1:]
    return Example(f"{asked}\n{table}", f"{place}; {key}; {text.answer}", kind=kind)


def _in_rounds(texts: Sequence[Text], rng: random.Random) -> Iterator[Text]:
    while True:
        yield from rng.sample(texts, len(texts))
