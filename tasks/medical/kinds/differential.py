"""Two diagnoses in order of how many of their key features the note states, by a protocol that the prompt gives."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.medical.background import asides
from tasks.medical.kinds import protocol
from tasks.medical.notes import jotted, patient, place, sentences
from tasks.medical.tables import Condition

KIND = "differential"
KEY_FEATURES = 3
STATED = ((3, 1), (3, 0), (2, 1), (2, 0), (3, 2))
"""How many features of the two diagnoses a note states, the likelier one first."""

REQUESTS = (
    "Rank the two.",
    "Differential, likelier first?",
    "What are the ddx in order?",
    "DDx with supporting features:",
    "Order the differential by features stated.",
    "Impression and differentials?",
    "What is top of the list?",
    "Differential please, with the evidence.",
    "Rank by the protocol.",
    "Which fits best, and what next?",
    "Likely diagnosis and alternative:",
    "Working dx then the other?",
    "Apply the protocol.",
    "Give the ranked ddx.",
    "What does the protocol make of this?",
    "List the ddx, best supported first.",
    "Suggest diagnoses in order.",
    "Which of these, and why?",
    "Score the case and rank.",
    "Most likely, then the other?",
    "Ranked list with findings for each?",
    "Imp/ddx?",
    "Support for each diagnosis, strongest first:",
    "Put these in order for this pt.",
)
_HEADS = (
    "Key features in {}",
    "{}, key features",
    "Local {} protocol",
    "{} pathway",
    "Ddx of {}",
    "Features by diagnosis ({})",
    "{}: think of",
    "Protocol, {}",
    "Unit guide to {}",
    "{} crib sheet",
)
_LINES = ("{d}: {f}", "{d} - {f}", "{d} = {f}", "{d} ({f})")
_COMPLAINTS = (
    "{f}",
    "on review {f}",
    "features: {f}",
    "hx and exam: {f}",
    "{p}; {f}",
    "{p}: {f}",
    "clerking: {f}",
    "noted {f}",
    "so far {f}",
    "{p} today. {f}",
    "story and findings: {f}",
)


def question(condition: Condition, group: Sequence[Condition], rng: random.Random) -> Example:
    """A protocol of two diagnoses of the presentation, and a patient whose note fits the condition best."""
    names = _candidates(condition, rng)
    by_name = {one.name: one for one in group}
    features = {name: _key_features(by_name[name], [by_name[other] for other in names], rng) for name in names}
    counts = dict(zip(names, rng.choice(STATED), strict=True))
    stated = {name: set(rng.sample(features[name], counts[name])) for name in names}
    who = patient(condition, rng)
    lines = [
        _line(name, features[name], style, rng)
        for style in [rng.choice(_LINES)]
        for name in rng.sample(names, len(names))
    ]
    note = _note(condition, who.opening(rng), features, stated, rng)
    answer = "; ".join(f"{name}: {_support(features[name], stated[name])}" for name in names)
    prompt = protocol.arranged(
        rng.choice(REQUESTS), protocol.block(_HEADS, condition.presentation, lines, rng), note, rng
    )
    return Example(prompt, answer, kind=KIND)


def _candidates(condition: Condition, rng: random.Random) -> list[str]:
    """The condition and one of its differential."""
    return [condition.name, rng.choice(condition.differential)]


def _key_features(condition: Condition, candidates: Sequence[Condition], rng: random.Random) -> list[str]:
    """Features that no other candidate has."""
    shared = {feature for other in candidates if other is not condition for feature in other.features}
    return rng.sample([feature for feature in condition.features if feature not in shared], KEY_FEATURES)


def _line(name: str, features: Sequence[str], style: str, rng: random.Random) -> str:
    return style.format(d=name, f=", ".join(features))


def _note(
    condition: Condition,
    opening: str,
    features: Mapping[str, Sequence[str]],
    stated: Mapping[str, set[str]],
    rng: random.Random,
) -> str:
    """The features that are stated, a feature of the likelier diagnosis first, and perhaps one that is absent."""
    leading = rng.choice(sorted(stated[condition.name]))
    others = sorted(feature for some in stated.values() for feature in some if feature != leading)
    rng.shuffle(others)
    complaint = rng.choice(_COMPLAINTS).format(p=condition.presentation, f=jotted([leading, *others], rng))
    parts = [f"{opening}, {complaint}" if rng.random() < 0.7 else f"{opening}, {place(rng)}, {complaint}"]
    unstated = sorted(feature for name in features for feature in features[name] if feature not in stated[name])
    if rng.random() < 0.35:
        parts.append(rng.choice(protocol.ABSENT).format(rng.choice(unstated)))
    if rng.random() < 0.4:
        parts += asides(rng, 1)
    return sentences(parts, rng)


def _support(features: Sequence[str], stated: set[str]) -> str:
    return ", ".join(feature for feature in features if feature in stated) or protocol.NONE
