"""Which document or register answers a request to the tender desk, by the key words of a routing table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.pharma.questions import lookup
from tasks.pharma.tables import Text

KIND = "document"
WORDING = lookup.Wording(
    places=("request {}", "ticket {}", "mail {}", "query {}", "call {}", "letter {}", "case {}", "RFI {}"),
    heads=(
        "{}: ",
        "{} asks: ",
        "{} reads: ",
        "{} just came in. ",
        "{}, still open: ",
        "{} of today: ",
        "{}, new: ",
        "{} for you: ",
        "{} - ",
        "{} is waiting. ",
        "{}, please route: ",
        "{}, where does it belong? ",
        "{}, what answers it? ",
        "{}, look: ",
        "{} we got: ",
        "{} opened: ",
        "{} is here. ",
        "{} from the buyer: ",
        "{}, passed on by sales: ",
        "{}, logged: ",
        "{} is next: ",
        "{} to sort: ",
        "{} (urgent): ",
        "{} to file: ",
    ),
    rule_heads=(
        "",
        "Routing: ",
        "Key words: ",
        "Where to look: ",
        "Sources: ",
        "Our table: ",
        "Rules: ",
        "By key word: ",
        "Pick from: ",
        "File under: ",
        "Options: ",
        "Shelf: ",
    ),
    arrows=(" -> ", ": ", " = ", " - ", " > ", " => ", ", see ", " goes to ", " is in "),
)


def questions(
    texts: Sequence[Text], keywords: Mapping[str, Sequence[str]], count: int, rng: random.Random
) -> list[Example]:
    """`count` questions about situations."""
    return lookup.questions(texts, keywords, KIND, WORDING, count, rng)
