"""Which pharmaceutical term a passage is about, by the key words of a glossary."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.pharma.questions import lookup
from tasks.pharma.tables import Text

KIND = "term"
WORDING = lookup.Wording(
    places=("clause {}", "section {}", "page {}", "note {}", "paragraph {}", "line {}", "slide {}", "footnote {}"),
    heads=(
        "{}: ",
        "{} says: ",
        "{} has this: ",
        "Under {} we read: ",
        "Quoted from {}: ",
        "In {}: ",
        "From {} of the file: ",
        "{} of the tender: ",
        "{}, unclear to the buyer: ",
        "Explain {}: ",
        "The translator is stuck at {}. ",
        "See {}. ",
        "What is meant in {}? ",
        "Index {}: ",
        "Which entry fits {}? ",
        "{} - ",
        "Mark {}: ",
        "Tag {}. ",
        "Text of {}: ",
        "Margin of {}: ",
        "Reading {}: ",
        "Check {}: ",
        "Wording in {}: ",
        "{}, as it stands: ",
    ),
    rule_heads=(
        "",
        "Glossary: ",
        "Word list: ",
        "Index: ",
        "Terms: ",
        "Entries: ",
        "Thesaurus: ",
        "Key words: ",
        "Headings: ",
        "Cues: ",
        "Dictionary: ",
        "Choose: ",
    ),
    arrows=(" -> ", ": ", " = ", " - ", " > ", " => ", ", see ", " points to ", " belongs to "),
)


def questions(
    texts: Sequence[Text], keywords: Mapping[str, Sequence[str]], count: int, rng: random.Random
) -> list[Example]:
    """`count` questions about definitions."""
    return lookup.questions(texts, keywords, KIND, WORDING, count, rng)
