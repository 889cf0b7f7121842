"""A note as one line: age and sex; background; complaint; observations out of range; findings."""

from __future__ import annotations

import random

from tasks.example import Example
from tasks.medical import background, observations
from tasks.medical.notes import asked, duration, joined, jotted, patient, place, sentences, short_time
from tasks.medical.tables import SIDE, Condition

KIND = "summary"
NORMAL_OBS = "obs normal"
REQUESTS = (
    "One-liner please.",
    "One-line summary?",
    "Sum up in one line for the board round.",
    "Summarise for handover.",
    "Case in a line?",
    "How would you present this in one line?",
    "Give me the one-liner for the consultant.",
    "Presenting line for the post-take round:",
    "Summary line for the list:",
    "Condense to one line.",
    "Opening line for the referral?",
    "Handover line:",
    "Write the summary line.",
    "Boil this down for the night team.",
    "Short summary for the bed meeting.",
    "Clerking below, needs a one-line summary.",
    "Need this as one line on the take list.",
    "Med reg wants it in one line.",
    "Make it a one-liner.",
    "Line for the jobs book?",
    "Summarise this clerking.",
    "Problem line:",
    "Quick summary of this pt?",
    "What is the headline here?",
    "Summary for the whiteboard:",
    "Put the case in one line.",
    "Turn into a single-line case summary.",
    "tl;dr of this clerking?",
)
_COMPLAINTS = (
    "c/o {s} for {t}",
    "c/o {t} of {s}",
    "{t} hx of {s}",
    "PC: {s}, {t}",
    "p/w {t} of {s}",
    "presents with {s} for {t}",
    "{s} x {t}",
    "HPC {t} of {s}",
    "PC {t} {s}",
    "reports {s}, going on {t}",
    "admitted with {t} of {s}",
    "attends w/ {s}, onset {t} ago",
)
_EXAMS = ("O/E {}", "O/E: {}", "on exam {}", "exam: {}", "examination: {}", "findings: {}", "o/e has {}")
_OBS_HEADS = ("obs: {}", "obs {}", "{}", "{}", "vitals {}", "triage obs: {}", "on arrival {}")
_SIDES = {"R": ("R", "right", "(R)", "rt"), "L": ("L", "left", "(L)", "lt")}


def question(condition: Condition, rng: random.Random) -> Example:
    """A note about a patient with the condition, and its summary."""
    who = patient(condition, rng)
    history = background.history(condition, who, rng)
    number, unit = duration(condition, rng)
    symptoms = rng.sample(condition.symptoms, min(len(condition.symptoms), rng.choice((1, 2, 2, 2, 3))))
    chosen = rng.sample(condition.signs, rng.choice((1, 1, 2)))
    signs = [sign.replace(SIDE, f"{rng.choice('RL')} " if SIDE in sign else "") for sign in chosen]
    drawn = observations.drawn(condition, rng)
    shown = {*rng.sample(observations.CHART, rng.choice((1, 2, 2))), *(one.name for one in drawn if one.word)}
    obs = [one for one in drawn if one.name in shown]

    time = rng.choice((f"{number} {unit}", short_time(number, unit)))
    complaint = rng.choice(_COMPLAINTS).format(s=jotted(symptoms, rng), t=time)
    opening = who.opening(rng)
    first = f"{opening}, {complaint}" if rng.random() < 0.5 else f"{opening}, {place(rng)}, {complaint}"
    written = [one.written(rng) for one in rng.sample(obs, len(obs))]
    later = [
        rng.choice(_OBS_HEADS).format(rng.choice((", ", " ", "; ")).join(written)),
        rng.choice(_EXAMS).format(jotted([_sided(sign, rng) for sign in signs], rng)),
    ]
    middle = [background.history_line(history, rng), *background.asides(rng, rng.choice((0, 0, 1)))]
    if rng.random() < 0.3:
        middle.append(background.negatives(condition, rng))
    rng.shuffle(middle)
    if rng.random() < 0.3:
        rng.shuffle(later)
    note = sentences([first, *(later + middle if rng.random() < 0.2 else middle + later)], rng)

    abnormal = [one.word for one in obs if one.word]
    fields = (
        who.short,
        joined(history) if history else background.NO_HISTORY,
        f"{number} {unit} of {joined(symptoms)}",
        joined(abnormal) if abnormal else NORMAL_OBS,
        joined(signs),
    )
    return Example(asked(rng.choice(REQUESTS), note, rng), "; ".join(fields), kind=KIND)


def _sided(sign: str, rng: random.Random) -> str:
    """The sign with its side as notes may write it."""
    return " ".join(rng.choice(_SIDES[word]) if word in _SIDES else word for word in sign.split(" "))
