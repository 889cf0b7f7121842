"""Which red flags of a protocol the note states; those that it denies or does not mention do not count."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.example import Example
from tasks.medical.background import asides
from tasks.medical.kinds import protocol
from tasks.medical.notes import jotted, patient, place, sentences
from tasks.medical.tables import Condition, naming

KIND = "redflag"
REQUESTS = (
    "Any red flags?",
    "Red flags present?",
    "Which flags are positive?",
    "Red flags here?",
    "Escalate for what?",
    "Screen for red flags.",
    "List positive red flags.",
    "What would you escalate?",
    "Flags ticked?",
    "Go through the flags.",
    "Which of the listed flags does this pt have?",
    "Name the flags that apply.",
    "Safety check:",
    "Red flag screen result?",
    "Positive flags only:",
    "Anything on the list?",
    "Which boxes to tick?",
    "Flags for the registrar?",
    "What on the list is present?",
    "Tick off the red flags.",
    "Triage flags?",
    "Is anything alarming, per the list?",
    "Worrying features from the list:",
    "Does the list apply?",
)
_HEADS = (
    "Red flags, {}",
    "{} red flags",
    "Escalate {} if",
    "Red flag list ({})",
    "{}: call senior for",
    "Alarm features in {}",
    "Local flags for {}",
    "{} triage card",
    "Do not send {} home with",
    "Senior review of {} for",
)
_COMPLAINTS = (
    "{p}, {s}",
    "{s}",
    "in with {p}, mainly {s}",
    "c/o {s}",
    "{p} since yesterday, {s}",
    "clerked: {s}",
    "p/w {p}",
    "{p} getting worse, {s}",
    "GP letter says {p}, {s}",
    "reviewed for {p}",
)
_PRESENT = (
    "{}",
    "now {}",
    "also {}",
    "noted: {}",
    "nurse reports {}",
    "found {}",
    "there is {}",
    "{} on review",
    "has {}",
)


def question(condition: Condition, group: Sequence[Condition], rng: random.Random) -> Example:
    """A protocol of three to five red flags of the presentation, of which some are stated and some denied."""
    pool = sorted({flag for one in group for flag in one.red_flags})
    flags = rng.sample(pool, rng.choice((3, 4, 4, 5)))
    present = rng.sample(flags, rng.choice((0, 1, 1, 2, 2, 2, 3)))
    absent = [flag for flag in flags if flag not in present]
    denied = rng.sample(absent, min(len(absent), rng.choice((0, 1, 1, 2))))
    who = patient(condition, rng)
    symptoms = [one for one in condition.symptoms if not any(naming(flag).search(one) for flag in flags)]
    complaint = rng.choice(_COMPLAINTS).format(p=condition.presentation, s=rng.choice(symptoms))
    opening = who.opening(rng) if rng.random() < 0.6 else f"{who.opening(rng)}, {place(rng)}"
    parts = []
    if present:
        parts.append(rng.choice(_PRESENT).format(jotted(present, rng)))
    if denied:
        parts.append(rng.choice(protocol.ABSENT).format(" or ".join(denied)))
    parts += asides(rng, rng.choice((0, 0, 1, 1)) if present or denied else 2)
    rng.shuffle(parts)
    answer = "; ".join(flag for flag in flags if flag in present) or protocol.NONE
    listed = protocol.block(_HEADS, condition.presentation, flags, rng)
    note = sentences([f"{opening}, {complaint}", *parts], rng)
    return Example(protocol.arranged(rng.choice(REQUESTS), listed, note, rng), answer, kind=KIND)
