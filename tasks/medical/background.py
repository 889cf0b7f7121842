"""What the notes say beside the complaint: history, risk factors, home life, and symptoms that the patient does not have."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.medical.notes import Patient, jotted
from tasks.medical.tables import Condition

LONG_FORMS: Mapping[str, tuple[str, ...]] = {
    "T2DM": ("type 2 diabetes", "type 2 DM"),
    "T1DM": ("type 1 diabetes", "type 1 DM"),
    "HTN": ("hypertension", "high BP"),
    "IHD": ("ischaemic heart disease",),
    "CKD": ("chronic kidney disease",),
    "COPD": ("chronic obstructive pulmonary disease",),
    "OA": ("osteoarthritis",),
    "AF": ("atrial fibrillation",),
    "DVT": ("deep vein thrombosis",),
}
"""Abbreviations that answers use, and what notes may write in full."""

_POOL = ("T2DM", "HTN", "OA", "depression", "psoriasis", "epilepsy", "CKD", "IHD", "COPD", "hearing aid", "cataracts")
_POOL_OF_THE_YOUNG = ("depression", "psoriasis", "epilepsy", "eczema", "acne", "dyslexia", "T1DM", "hay fever")
_YOUNG = 45
_FERTILE = {"pregnancy", "combined pill", "recent delivery", "heavy periods", "early menarche"}
_OLD = {"early menopause"}
_CLASHES = (
    {"T1DM", "T2DM", "metformin", "missed insulin", "insulin pump failure"},
    {"CKD", "dialysis"},
    {"OA", "knee OA"},
)
_HEADS = (
    "B/G {}",
    "B/G: {}",
    "background {}",
    "background of {}",
    "Bkgd {}",
    "relevant hx: {}",
    "PMH/risks: {}",
    "hx {}",
    "PMHx {}",
    "known {}",
)
_NOTHING = (
    "PMH nil",
    "nil PMH",
    "previously fit and well",
    "PMH none",
    "no past medical history",
    "B/G nil of note",
    "usually well",
    "nil relevant PMH",
)
NO_HISTORY = "no PMH"
"""How answers say that there is no background."""

_ASIDES = (
    "NKDA",
    "allergies: nil known",
    "pen allergic (rash)",
    "DH nil regular",
    "takes vitamins OTC",
    "DH paracetamol PRN",
    "lives alone",
    "lives w/ partner",
    "lives w/ family",
    "independent w/ ADLs",
    "SH: works in an office",
    "works nights",
    "non-drinker",
    "drinks 6 units/wk",
    "walks the dog daily",
    "recently moved house",
    "vaccinations up to date",
    "ICE: worried it is serious",
    "came by taxi",
    "referred by GP",
    "seen by triage nurse",
    "eating and drinking ok",
    "BMs fine",
    "pain score {n}/10",
    "GCS 15",
    "weight {w} kg",
    "two cats at home",
)
_NEGATIVES: Mapping[str, tuple[str, ...]] = {
    "chest pain": ("haemoptysis", "calf swelling", "palpitations", "vomiting"),
    "breathlessness": ("palpitations", "ankle swelling", "rash", "foreign travel"),
    "palpitations": ("fever", "cough", "calf swelling", "headache"),
    "leg swelling": ("trauma", "foreign travel", "abdominal pain", "rash elsewhere"),
    "upper abdominal pain": ("urinary symptoms", "diarrhoea", "chest pain", "cough"),
    "lower abdominal pain": ("urinary symptoms", "foreign travel", "rash", "back pain"),
    "pelvic pain": ("diarrhoea", "urinary symptoms", "back pain", "rash"),
    "loin pain": ("diarrhoea", "back trauma", "rash", "cough"),
    "headache": ("head trauma", "cough", "rash elsewhere", "eye redness"),
    "vertigo": ("chest pain", "palpitations", "fever", "ear pain"),
    "hot joint": ("trauma", "rash", "back pain", "mouth ulcers"),
    "back pain": ("trauma this week", "cough", "rash", "abdominal pain"),
    "dehydration": ("cough", "rash", "diarrhoea", "chest pain"),
    "red eye": ("trauma this week", "rash", "fever", "ear pain"),
    "sore throat": ("cough", "rash", "foreign travel", "diarrhoea"),
    "tiredness": ("cough", "foreign travel", "chest pain", "rash"),
}
_DENIALS = ("no {}", "denies {}", "nil {}", "no hx of {}")


def history(condition: Condition, patient: Patient, rng: random.Random) -> list[str]:
    """Up to three risk factors and old diagnoses that fit the patient and one another, abbreviated; often none."""
    risks = rng.sample(condition.risk_factors, rng.choice((0, 1, 1, 1, 2)))
    pool = _POOL_OF_THE_YOUNG if patient.age < _YOUNG else _POOL
    items = list(dict.fromkeys([*risks, *rng.sample(pool, rng.choice((0, 0, 1, 1, 2)))]))
    kept: list[str] = []
    for item in items:
        if _fits(item, patient) and not any({item, other} <= clash for clash in _CLASHES for other in kept):
            kept.append(item)
    rng.shuffle(kept)
    return kept[:3]


def history_line(items: Sequence[str], rng: random.Random) -> str:
    """The history as a note writes it; abbreviations may stand in full."""
    if not items:
        return rng.choice(_NOTHING)
    return rng.choice(_HEADS).format(jotted([_written(item, rng) for item in items], rng))


def asides(rng: random.Random, count: int) -> list[str]:
    """Remarks that no answer needs."""
    return [text.format(n=rng.randint(2, 9), w=rng.randint(52, 98)) for text in rng.sample(_ASIDES, count)]


def negatives(condition: Condition, rng: random.Random) -> str:
    """One or two symptoms that the patient does not have; no condition of the presentation has them."""
    absent = rng.sample(_NEGATIVES[condition.presentation], rng.choice((1, 2)))
    return rng.choice(_DENIALS).format(" or ".join(absent))


def _fits(item: str, patient: Patient) -> bool:
    if item in _FERTILE:
        return patient.sex == "F" and patient.age <= _YOUNG
    return item not in _OLD or (patient.sex == "F" and patient.age > _YOUNG)


def _written(item: str, rng: random.Random) -> str:
    if item in LONG_FORMS and rng.random() < 0.4:
        return rng.choice(LONG_FORMS[item])
    return item
