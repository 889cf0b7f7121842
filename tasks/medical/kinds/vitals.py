"""The observations of a note in the order of the chart, each with how it stands to the normal range."""

from __future__ import annotations

import random

from tasks.example import Example
from tasks.medical import observations
from tasks.medical.notes import asked, patient, place, sentences
from tasks.medical.tables import Condition

KIND = "vitals"
REQUESTS = (
    "Obs in chart order, flagged.",
    "Chart these obs.",
    "Flag the obs.",
    "Which obs are off?",
    "Put the obs on the chart with flags.",
    "Obs with high, low or normal?",
    "Read out the obs, flagged.",
    "Are these obs ok?",
    "Obs check please.",
    "Transcribe and flag the vital signs.",
    "Vital signs, flagged:",
    "Extract the vitals.",
    "Vitals for the chart?",
    "List the vitals and flag each.",
    "Mark each observation.",
    "Observations for the e-chart:",
    "Chart and flag.",
    "Obs for the night sister, flagged?",
    "Tidy these obs for the chart.",
    "What do the obs show?",
    "Obs against the normal ranges:",
    "Flag any abnormal vitals.",
    "Enter obs:",
    "Can you chart this set?",
    "Sort these vitals out.",
    "How do these obs compare with normal?",
)
_CONTEXTS = (
    "in with {c}",
    "admitted with {c}",
    "?{d}",
    "query {d}",
    "treated for {d}",
    "{c} overnight",
    "seen for {c}",
    "{c}, {f}",
    "reports {f}",
    "reviewed re {f}",
    "ongoing {f}",
    "?{d}, {f}",
)
_OBS_HEADS = (
    "obs {t}: {}",
    "{t} {}",
    "obs: {}",
    "obs set: {}",
    "latest obs {}",
    "at {t} {}",
    "repeat obs ({t}) {}",
    "{}",
    "{}",
    "HCA obs {}",
    "on arrival {}",
    "currently {}",
)
_EXTRAS = (
    "BM {m}",
    "GCS 15",
    "pain {n}/10",
    "UO {u} ml/h",
    "wt {w} kg",
    "CRT {k}s",
    "alert",
    "peak flow {p}",
    "lactate {a}",
    "passed urine",
    "IVI running",
    "sleeping between obs",
)
_TAILS = (
    "nurse informed",
    "for repeat in {h}h",
    "reviewed on round",
    "family at bedside",
    "to have bloods",
    "mobilising",
    "awaiting bed",
    "cannula in situ",
    "on tea now",
    "paracetamol given",
    "will recheck",
    "doctor aware",
)


def question(condition: Condition, rng: random.Random) -> Example:
    """Three to five observations among other remarks."""
    who = patient(condition, rng)
    drawn = observations.drawn(condition, rng, stray=0.3)
    chosen = set(rng.sample(observations.CHART, rng.choice((3, 3, 4, 4, 5))))
    obs = [one for one in drawn if one.name in chosen]
    pieces = [one.written(rng) for one in obs]
    if rng.random() < 0.6:
        pieces.append(
            rng.choice(_EXTRAS).format(
                m=f"{rng.uniform(4.2, 9.8):.1f}",
                n=rng.randint(0, 9),
                u=rng.randint(25, 90),
                w=rng.randint(50, 99),
                k=rng.randint(1, 3),
                p=rng.randint(22, 48) * 10,
                a=f"{rng.uniform(0.7, 3.2):.1f}",
            )
        )
    rng.shuffle(pieces)
    time = f"{rng.randint(0, 23):02d}{rng.choice('0134')}{rng.randint(0, 9)}"
    context = rng.choice(_CONTEXTS).format(c=condition.presentation, d=condition.name, f=rng.choice(condition.symptoms))
    where = f", {place(rng)}" if rng.random() < 0.4 else ""
    parts = [
        f"{who.opening(rng)}{where}, {context}",
        rng.choice(_OBS_HEADS).format(rng.choice((", ", " ", "; ", " / ")).join(pieces), t=time),
    ]
    if rng.random() < 0.4:
        parts.append(rng.choice(_TAILS).format(h=rng.randint(1, 6)))
    answer = "; ".join(f"{one.name} {one.value} {one.flag}" for one in obs)
    return Example(asked(rng.choice(REQUESTS), sentences(parts, rng), rng), answer, kind=KIND)
