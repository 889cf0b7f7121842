"""Conversion of a messy tender line to `INN; strength; form; pack`.

Conventions, the same in every line:

- the INN is spelt in full, in any case; a salt behind it is left out of the answer, unless the table's name holds it
  ("magnesium sulfate")
- a number and its unit may be run together, and MCG is micrograms; the answer has the table's spelling
- the form may be abbreviated; the answer spells it out. INJ beside AMP or VIAL adds nothing
- `10X10`, `QTY 100`, `PACK OF 100`, `100'S` and `100 NOS` are the pack; a product stays one, as `10 x 10`; where the
  container is not the form ("eye drops", bottles) it stands behind the number, which then may stand alone
- item and lot numbers, delivery notes and "or equivalent" are noise
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.pharma.tables import Medicine

KIND = "normalise"
FRAMES = (
    "{}",
    "{}",
    "{}",
    "Please quote: {}",
    "Quote for {}",
    "We need {}",
    "We also need {}",
    "Kindly offer {}",
    "Can you supply {}?",
    "Price for {}, please",
    "Required: {}",
    "From the schedule: {}",
    "The buyer writes: {}",
    "Line of the tender: {}",
    "Enquiry for {}",
    "To enter: {}",
    "Still missing in our list: {}",
    "Hospital order: {}",
    "The ministry wants {}",
    "Read this: {}",
    "Next line: {}",
    "Add {} to the bid",
    "Do we have {}?",
    "Typed from a fax: {}",
    "Copied from their sheet: {}",
    "Annex 2 lists {}",
    "Requested: {}",
    "Dear all, please bid on {}",
)
"""What surrounds a line."""
FORMS: Mapping[str, tuple[str, ...]] = {
    "tablet": ("TAB", "TAB.", "TABS", "TABLET"),
    "capsule": ("CAP", "CAP.", "CAPS", "CAPSULE"),
    "ampoule": ("AMP", "AMP.", "INJ AMP", "AMPOULE"),
    "vial": ("VIAL", "INJ VIAL", "INJ. VIAL"),
    "powder for injection": ("PWD FOR INJ", "POWD. INJ", "POWDER FOR INJ."),
    "cream": ("CRM", "CREAM"),
    "eye drops": ("EYE DRP", "EYE DROPS"),
    "infusion bag": ("INF BAG", "INFUSION BAG"),
    "oral solution": ("ORAL SOLN", "ORAL SOL."),
    "prefilled pen": ("PF PEN", "PREFILLED PEN"),
    "prefilled syringe": ("PFS", "PF SYR", "PREFILLED SYRINGE"),
    "capsule for inhalation": ("INH CAP", "CAP FOR INH"),
    "inhaler": ("INH", "INHALER"),
}
"""Buyers' spellings of a form; other forms are unchanged."""
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "ampoules": ("AMP", "AMPOULES"),
    "vials": ("VIAL", "VIALS"),
    "bottles": ("BTL", "BOT", "BOTTLES"),
    "tubes": ("TUBE", "TUBES"),
}
SALTS: Mapping[str, str] = {
    "hydrochloride": (
        "amiodarone amitriptyline bupivacaine cetirizine ciprofloxacin clindamycin diltiazem donepezil dopamine "
        "doxorubicin ethambutol fluoxetine hydralazine ketamine loperamide mefloquine metformin metoclopramide naloxone "
        "ondansetron propranolol selegiline sertraline tamsulosin tramadol vancomycin verapamil"
    ),
    "sodium": "cefuroxime ceftriaxone diclofenac enoxaparin levothyroxine montelukast pantoprazole warfarin",
    "sulfate": "abacavir amikacin atropine gentamicin hydroxychloroquine morphine quinine salbutamol vincristine",
    "maleate": "enalapril timolol",
    "fumarate": "bisoprolol",
    "acetate": "desmopressin medroxyprogesterone",
    "citrate": "clomifene sildenafil tamoxifen",
    "phosphate": "chloroquine primaquine sitagliptin",
    "calcium": "atorvastatin rosuvastatin",
    "besilate": "amlodipine atracurium",
    "tartrate": "metoprolol",
    "potassium": "losartan",
    "succinate": "sumatriptan",
    "mesilate": "imatinib",
    "bromide": "ipratropium tiotropium",
}
"""Salts in the names of medicines."""
LOOSE_PACKS = (
    *(
        "14",
        "15",
        "20",
        "21",
        "24",
        "28",
        "30",
        "40",
        "42",
        "48",
        "50",
        "56",
        "60",
        "84",
        "90",
        "98",
        "100",
        "112",
        "120",
        "140",
    ),
    *(
        "150",
        "168",
        "180",
        "200",
        "250",
        "280",
        "300",
        "400",
        "500",
        "600",
        "1000",
        "2X7",
        "2X10",
        "3X10",
        "5X10",
        "6X10",
        "10X10",
    ),
    *(
        "2X14",
        "4X7",
        "4X14",
        "3X15",
        "10X15",
        "6X14",
        "20X10",
        "25X4",
        "50X10",
        "100X10",
        "8X7",
        "12X10",
        "3X8",
        "5X6",
        "10X20",
    ),
)
PACKS = (
    *(
        "2",
        "3",
        "4",
        "5",
        "6",
        "8",
        "10",
        "12",
        "15",
        "20",
        "24",
        "25",
        "30",
        "35",
        "40",
        "45",
        "50",
        "60",
        "75",
        "80",
        "100",
        "150",
    ),
    *(
        "200",
        "300",
        "2X5",
        "2X10",
        "5X10",
        "10X10",
        "2X6",
        "3X5",
        "4X5",
        "4X6",
        "5X5",
        "6X10",
        "5X20",
        "10X5",
        "12X6",
        "20X5",
    ),
)
LOOSE_FORMS = frozenset({"tablet", "capsule"})
NUMBERINGS = ("ITEM {}:", "LOT {}:", "LOT NO. {} -", "SR NO {})", "LINE {}:", "ITEM NO. {}:")
NOTES = (
    "OR EQUIVALENT",
    "OR EQUIV.",
    "DELIVERY IN {} DAYS",
    "DELIVER WITHIN {} DAYS",
    "URGENT",
    "WITH COA",
    "FREE DELIVERY",
    "AS PER SPEC",
)
SEPARATORS = (" ", " ", ", ", " - ", " / ")


def questions(medicines: Sequence[Medicine], count: int, rng: random.Random) -> list[Example]:
    """`count` different questions, spread evenly over the medicines."""
    salts = {inn: salt for salt, inns in SALTS.items() for inn in inns.split()}
    made: dict[str, Example] = {}
    while len(made) < count:
        for medicine in rng.sample(medicines, min(len(medicines), count - len(made))):
            example = _question(medicine, salts.get(medicine.inn), rng)
            # lines that differ only in case and punctuation are the same question
            made.setdefault(re.sub(r"\W+", " ", example.prompt.lower()), example)
    return list(made.values())


def _question(medicine: Medicine, salt: str | None, rng: random.Random) -> Example:
    container = _plural(medicine)
    written, count = _pack(medicine, container, rng)
    name = f"{medicine.inn} {salt}" if salt and rng.random() < 0.6 else medicine.inn
    strength = medicine.strength.replace("micrograms", rng.choice(("MCG", "micrograms")))
    if rng.random() < 0.6 and "million" not in strength:
        strength = strength.replace(" ", "", 1)
    form = rng.choice(FORMS.get(medicine.form, (medicine.form,)))
    name = rng.choice((name, name, name.capitalize(), name.title()))
    product = rng.choice(((name, strength, form), (name, form, strength), (form, name, strength)))
    parts = (written, *product) if rng.random() < 0.15 else (*product, written)
    line = rng.choice(SEPARATORS).join(part if part == name else _cased(part, rng) for part in parts)
    if rng.random() < 0.5:
        line = f"{_cased(rng.choice(NUMBERINGS), rng).format(rng.randint(2, 60))} {line}"
    if rng.random() < 0.5:
        line = f"{line}, {_cased(rng.choice(NOTES), rng).format(rng.choice((14, 21, 30, 45, 60)))}"
    if rng.random() < 0.2:
        line = rng.choice((line.upper(), line.lower(), line.lower()))
    prompt = rng.choice(FRAMES).format(line)
    return Example(prompt, f"{medicine.inn}; {medicine.strength}; {medicine.form}; {count} {container}", kind=KIND)


def _pack(medicine: Medicine, container: str, rng: random.Random) -> tuple[str, str]:
    """A pack as the buyer writes it and as in the answer: the table's pack or another usual one."""
    own = medicine.pack.split()[0]
    usual = LOOSE_PACKS if medicine.form in LOOSE_FORMS else PACKS
    pack = own if int(own) > 1 and rng.random() < 0.3 else rng.choice(usual)
    outer, _, inner = pack.partition("X")
    count = f"{outer} x {inner}" if inner else outer
    if inner:
        written = rng.choice((pack, f"{outer} X {inner}", f"{pack}'S"))
    else:
        written = rng.choice((f"QTY {pack}", f"QTY: {pack}", f"PACK OF {pack}", f"{pack}'S", f"{pack} NOS"))
    if container.rstrip("s") not in medicine.form:
        written = written.removesuffix("'S").removesuffix(" NOS")
        written = f"{written} {rng.choice(CONTAINERS.get(container, (container,)))}"
    return written, count


def _plural(medicine: Medicine) -> str:
    """The counted unit of a pack: "vials" for both "1 vial" and "10 vials"."""
    return f"{medicine.pack.split(maxsplit=1)[1].rstrip('s')}s"


def _cased(part: str, rng: random.Random) -> str:
    return rng.choice((part.upper(), part.lower(), part.title(), part))
