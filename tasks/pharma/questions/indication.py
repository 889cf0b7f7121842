"""What a short product text says of a condition: the medicine, the words of the text, and how they class the condition."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from tasks.example import Example
from tasks.pharma.tables import Medicine, naming

KIND = "indication"
LABELS = ("indication", "contraindication", "not stated")
DEALT = (*("indication", "contraindication") * 2, "not stated")
"""The labels of five questions in a row."""
FOR_USE = (
    "indicated for",
    "licensed for",
    "approved for",
    "used for",
    "prescribed for",
    "authorised for",
    "registered for",
    "recommended for",
    "intended for",
    "meant for",
    "labelled for",
    "supplied for",
    "effective in",
    "helpful in",
    "a standard in",
    "an option in",
    "first choice in",
    "of benefit in",
    "a treatment of",
    "our product for",
)
AGAINST_USE = (
    "contraindicated in",
    "ruled out in",
    "forbidden in",
    "prohibited in",
    "barred in",
    "not allowed in",
    "not permitted in",
    "not given in",
    "not used in",
    "unsuitable in",
    "excluded in",
    "banned in",
    "unsafe in",
    "to be avoided in",
    "to be withheld in",
    "not acceptable in",
    "no choice in",
    "never used in",
    "dangerous in",
    "off limits in",
)
BOTH = (
    "{name} is {one}, but {other}.",
    "{name} is {one} and {other}.",
    "{name}: {one}; {other}.",
    "{name} is {one}. It is {other}.",
    "While {name} is {one}, it is {other}.",
    "As the leaflet of {name} says, it is {one} and {other}.",
    "{name} ({group}) is {one}, and {other}.",
    "Label of {name}: {one}; {other}.",
    "Note on {name}: it is {one}, yet {other}.",
    "{name} is both {one} and {other}.",
    "By its label {name} is {one}. It is also {other}.",
    "{name}, {one}, is {other}.",
    "The {group} {name} is {one}; it is {other}.",
    "Doctors know that {name} is {one} and {other}.",
    "{name} - {one}, {other}.",
)
ALONE = (
    "{name} is {one}.",
    "{name} ({group}) is {one}.",
    "{name}: {one}.",
    "{name} is {one}. {storage}.",
    "Label of {name}: {one}.",
    "The {group} {name} is {one}.",
    "To quote the label, {name} is {one}.",
    "Our leaflet says {name} is {one}.",
    "{storage}. {name} is {one}.",
    "In short, {name} is {one}.",
    "{name} - {one}.",
    "Please note: {name} is {one}.",
    "{name} by its label is {one}.",
    "{name} comes as {form} and is {one}.",
    "As {form}, {name} is {one}.",
)
ASKED = (
    "{condition}?",
    "What about {condition}?",
    "What of {condition}?",
    "And {condition}?",
    "Query: {condition}.",
    "Asked: {condition}.",
    "Look for {condition}.",
    "Check {condition}.",
    "The buyer asks about {condition}.",
    "How does it class {condition}?",
    "Does it mention {condition}?",
    "Its word on {condition}?",
    "Status of {condition}?",
    "Find {condition}.",
    "Anything on {condition}?",
    "Condition: {condition}.",
    "We need {condition}.",
    "Tell me about {condition}.",
    "Patient file says {condition}.",
    "Class {condition}.",
)
_SMALL = frozenset({"and", "or", "of", "in", "the", "to", "with", "for", "by", "at", "on", "under", "other"})
_SAME = {
    "bronchospasm": "asthma",
    "cardiac": "heart",
    "convulsions": "epilepsy",
    "copd": "pulmonary",
    "dialysis": "renal",
    "haemodialysis": "renal",
    "helminths": "worm",
    "hookworm": "worm",
    "kidney": "renal",
    "liver": "hepatic",
    "seizures": "epilepsy",
    "threadworm": "worm",
    "allergic": "hypersensitivity",
    "allergy": "hypersensitivity",
    "anaphylaxis": "hypersensitivity",
}


def questions(medicines: Sequence[Medicine], every_inn: Sequence[str], count: int, rng: random.Random) -> list[Example]:
    """`count` different questions: two in five an indication, two a contraindication, one not stated.

    Args:
        medicines: the split's own; what one text does not state comes from another of them.
        every_inn: the names of all splits; facts that mention one of another split are left out.
        count: a multiple of five.
        rng: the source of chance.
    """
    foreign = naming(set(every_inn) - {medicine.inn for medicine in medicines})
    facts = {medicine.inn: _facts(medicine, foreign) for medicine in medicines}
    usable = [medicine for medicine in medicines if all(facts[medicine.inn])]
    uses = sorted({use for own, _ in facts.values() for use in own})
    bars = sorted({bar for _, own in facts.values() for bar in own})
    made: dict[str, Example] = {}
    for number in range(count):
        label = DEALT[number % len(DEALT)]
        size = len(made)
        while len(made) == size:
            medicine = rng.choice(usable)
            example = _question(medicine, facts[medicine.inn], label, rng.choice((uses, bars)), rng)
            if example is not None:
                made.setdefault(example.prompt, example)
    return list(made.values())


def _question(
    medicine: Medicine, facts: tuple[list[str], list[str]], label: str, foreign: Sequence[str], rng: random.Random
) -> Example | None:
    """One question, or None if the drawn facts are ambiguous."""
    use, bar = (rng.choice(side) for side in facts)
    condition = {"indication": use, "contraindication": bar, "not stated": rng.choice(foreign)}[label]
    rivals = {
        "indication": medicine.contraindications,
        "contraindication": medicine.indications,
        "not stated": medicine.indications + medicine.contraindications,
    }[label]
    if any(_content(condition) & _content(rival) for rival in rivals):
        return None
    said = {"indication": f"{rng.choice(FOR_USE)} {use}", "contraindication": f"{rng.choice(AGAINST_USE)} {bar}"}
    text = _text(medicine, said, label, rng)
    asked = _capital(rng.choice(ASKED).format(condition=condition))
    prompt = rng.choice((" ", "\n")).join((text, asked) if rng.random() < 0.75 else (asked, text))
    evidence = said.get(label, f"nothing on {condition}")
    return Example(prompt, f"{medicine.inn}; {evidence}; {label}", kind=KIND)


def _text(medicine: Medicine, said: dict[str, str], label: str, rng: random.Random) -> str:
    """A sentence or two: both facts, or only the asked one."""
    words = {
        "name": medicine.inn,
        "group": medicine.drug_class,
        "form": f"{'an' if medicine.form[0] in 'aeiou' else 'a'} {medicine.form}",
        "storage": _capital(medicine.storage),
    }
    if rng.random() < 0.5:
        one, other = rng.sample(list(said.values()), 2)
        return _capital(rng.choice(BOTH).format(one=one, other=other, **words))
    return _capital(rng.choice(ALONE).format(one=said.get(label) or rng.choice(list(said.values())), **words))


def _facts(medicine: Medicine, foreign: re.Pattern[str]) -> tuple[list[str], list[str]]:
    uses, bars = (
        [fact for fact in side if not foreign.search(fact)]
        for side in (medicine.indications, medicine.contraindications)
    )
    return uses, bars


def _content(condition: str) -> set[str]:
    """The word stems of a condition; conditions that share one are too similar."""
    words = set(re.findall(r"[a-z0-9]+", condition.lower())) - _SMALL
    return {_SAME.get(word, word)[:6] for word in words}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
