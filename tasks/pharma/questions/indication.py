"""Whether a short text names a condition as an indication, as a contraindication, or not at all."""

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
INSTRUCTIONS = (
    "Indication, contraindication or not stated?",
    "What does the text say of the condition?",
    "How does the text class the condition?",
    "By the text, what is the condition?",
)
FOR_USE = (
    "{name} is indicated for {use}.",
    "{name} is indicated in {use}.",
    "An indication of {inner} is {use}.",
    "{name} is used for {use}.",
    "{name} is licensed for {use}.",
    "{name} is prescribed for {use}.",
)
AGAINST_USE = (
    "{name} is contraindicated in {bar}.",
    "{name} is contraindicated in case of {bar}.",
    "A contraindication of {inner} is {bar}.",
    "{name} must not be given in case of {bar}.",
    "Avoid {inner} in case of {bar}.",
    "Do not give {inner} in case of {bar}.",
)
BOTH = (
    "{name}, indicated for {use}, is contraindicated in case of {bar}.",
    "{name} is used for {use}, but not in case of {bar}.",
    "{name} is licensed for {use} and ruled out by {bar}.",
    "Given for {use}, {inner} must be avoided in case of {bar}.",
    "Though forbidden by {bar}, {inner} is prescribed for {use}.",
    "Withhold {inner} in case of {bar}; its approved use is {use}.",
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
        every_inn: the names of all splits; facts that mention one are left out.
        count: a multiple of five.
        rng: the source of chance.
    """
    named = naming(every_inn)
    facts = {medicine.inn: _facts(medicine, named) for medicine in medicines}
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
    text = _text(medicine, use, bar, label, rng)
    prompt = f"{rng.choice(INSTRUCTIONS)}\nText: {text}\nCondition: {condition}\nAnswer:"
    return Example(prompt, label, kind=KIND)


def _text(medicine: Medicine, use: str, bar: str, label: str, rng: random.Random) -> str:
    """One or two sentences: usually the asked fact, alone or with storage; sometimes both facts."""
    inner = rng.choice((medicine.inn, "this medicine", "the product"))
    words = {"use": use, "bar": bar, "inner": inner, "name": _capital(inner)}
    draw = rng.random()
    if draw < 0.15:
        return _capital(rng.choice(BOTH).format(**words))
    sentences = [rng.choice(FOR_USE), rng.choice(AGAINST_USE)]
    if draw > 0.3:
        kept = {"indication": 0, "contraindication": 1}.get(label, rng.randrange(2))
        sentences = [sentences[kept]] if draw > 0.5 else [sentences[kept], f"{_capital(medicine.storage)}."]
    rng.shuffle(sentences)
    return " ".join(_capital(sentence.format(**words)) for sentence in sentences)


def _facts(medicine: Medicine, named: re.Pattern[str]) -> tuple[list[str], list[str]]:
    uses, bars = (
        [fact for fact in side if not named.search(fact)] for side in (medicine.indications, medicine.contraindications)
    )
    return uses, bars


def _content(condition: str) -> set[str]:
    """The word stems of a condition; conditions that share one are too similar."""
    words = set(re.findall(r"[a-z0-9]+", condition.lower())) - _SMALL
    return {_SAME.get(word, word)[:6] for word in words}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
