"""What remains of a work-up: the investigations of the list that the note does not report as done."""

from __future__ import annotations

import random

from tasks.example import Example
from tasks.medical.kinds import protocol
from tasks.medical.notes import jotted, patient, place, sentences
from tasks.medical.tables import Condition

KIND = "jobs"
REQUESTS = (
    "What is left to do?",
    "Outstanding jobs?",
    "Jobs left:",
    "What is outstanding?",
    "Still to chase?",
    "Tests still to come:",
    "What remains of the work-up?",
    "Update the jobs list.",
    "Jobs for the evening?",
    "Which tests are not back?",
    "Outstanding investigations?",
    "Still needs what?",
    "Hand over what is left.",
    "To do:",
    "Remaining tests?",
    "What do I chase?",
    "Which of the list is missing?",
    "Anything not done?",
    "Complete the list: what is missing?",
    "Left for the night team:",
    "What has not been done yet?",
    "Jobs for the F1?",
    "Gaps in the work-up?",
    "Finish the checklist.",
)
_HEADS = (
    "Work-up for ?{}",
    "{} bundle",
    "Suspected {}, send",
    "{} checklist",
    "Ix for {}",
    "Plan (?{})",
    "{} order set",
    "Consultant plan, query {}",
    "Bundle if {} suspected",
    "Investigations, ?{}",
)
_DONE = (
    "{} done",
    "{} back",
    "{} done and seen",
    "done: {}",
    "back so far: {}",
    "have {}",
    "{} completed",
    "results seen for {}",
    "{} reported",
    "{} ticked off",
    "already had {}",
    "{} complete",
)
_OPEN = (
    "{} awaited",
    "{} still to book",
    "awaiting {}",
    "{} not yet done",
    "{} pending",
    "chasing {}",
    "no {} yet",
    "{} delayed",
)
_CONTEXTS = (
    "{p}",
    "?{d}",
    "in with {p}",
    "query {d}",
    "{p}, {s}",
    "{s}",
    "admitted, {s}",
    "worked up for {d}",
    "c/o {s}",
)
_TAILS = (
    "cannula in",
    "seen on round",
    "NBM",
    "stable",
    "bloods were hard to get",
    "porters busy",
    "IV fluids up",
    "obs due",
)


def question(condition: Condition, rng: random.Random) -> Example:
    """A list of three to five investigations, and a note of which are done."""
    listed = rng.sample(condition.investigations, min(len(condition.investigations), rng.choice((3, 4, 4, 5))))
    left = set(rng.sample(listed, rng.choice((0, 1, 1, 2, 2, 2, 3)) if len(listed) > 3 else rng.choice((0, 1, 1, 2))))
    done = [test for test in listed if test not in left]
    mentioned = [test for test in listed if test in left and rng.random() < 0.4]
    who = patient(condition, rng)
    context = rng.choice(_CONTEXTS).format(p=condition.presentation, d=condition.name, s=rng.choice(condition.symptoms))
    where = f", {place(rng)}" if rng.random() < 0.5 else ""
    parts = [rng.choice(_DONE).format(jotted(rng.sample(done, len(done)), rng))] if done else []
    if mentioned:
        parts.append(rng.choice(_OPEN).format(jotted(mentioned, rng)))
    if rng.random() < 0.4:
        parts.append(rng.choice(_TAILS))
    rng.shuffle(parts)
    answer = "; ".join(test for test in listed if test in left) or protocol.NONE
    plan = protocol.block(_HEADS, condition.name, listed, rng)
    note = sentences([f"{who.opening(rng)}{where}, {context}", *parts], rng)
    return Example(protocol.arranged(rng.choice(REQUESTS), plan, note, rng), answer, kind=KIND)
