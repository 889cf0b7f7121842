"""What is in the food: which of a few items are veg, or contain an allergen, by their cards.

The answer names what is checked in English ("anda" is egg), and the items under `yes` (is veg, or contains it) and `no`, in the order of
the cards.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks.example import Example
from tasks.generation import Split
from tasks.kfc.basket import compact, home
from tasks.kfc.speech import typed, voice_in
from tasks.kfc.tables import City, Item

KIND = "diet"
VEG = "veg"
WORDS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "wheat": (("wheat", "gluten", "maida"), ("gehu", "maida", "wheat")),
    "egg": (("egg", "egg", "anda"), ("anda", "egg", "ande")),
    "milk": (("milk", "dairy", "milk"), ("doodh", "milk", "dairy")),
    "soy": (("soy", "soya"), ("soya", "soy")),
    "sesame": (("sesame", "til"), ("til", "sesame")),
    "mustard": (("mustard",), ("sarson", "mustard")),
    "nuts": (("nuts", "cashew or any nut"), ("kaju badam", "nuts")),
}
"""How customers name what they must not eat."""
CARDS = (
    "{item} ({diet}): {contains}",
    "{item} - {diet} - {contains}",
    "{item} [{diet}] {contains}",
    "{item}, {diet}, has {contains}",
)
BETWEEN = ("\n", "\n", "; ", " | ")
ASK_VEG = (
    (
        "which of these are veg?",
        "pure veg only for me, what can I take?",
        "is all of this veg?",
        "my mother is vegetarian, which is ok?",
        "veg or non veg, please check",
        "fasting today, only veg please. which ones?",
        "green dot ones?",
        "is it veg no?",
        "please confirm what is veg here",
        "no meat no egg for us, which ones work?",
    ),
    (
        "veg hai na sab?",
        "isme veg kaunsa hai?",
        "{call} veg wala batao",
        "pure veg chahiye, kya lun?",
        "mummy veg khati hain, kya chalega?",
        "ye veg hai kya?",
        "aaj mangalwar hai, sirf veg batao",
        "hara dot kispe hai?",
        "veg non veg alag kar do",
        "chicken nahi khate hum, kya milega?",
    ),
)
ASK_ALLERGEN = (
    (
        "which has {x}?",
        "my son is allergic to {x}, please check",
        "any {x} in these?",
        "does any of this contain {x}?",
        "I can't have {x}, what should I avoid?",
        "{x} allergy, kindly guide",
        "is there {x} in it?",
        "doctor said no {x}. which ones have it?",
        "we don't eat {x}, which to skip?",
        "{x} free ones please",
        "check for {x} once",
    ),
    (
        "{x} kisme hai?",
        "{call} isme {x} hai kya?",
        "mujhe {x} se allergy hai, batao",
        "{x} nahi khate, kya hata dein?",
        "bachche ko {x} mana hai, dekh ke batao",
        "inme {x} daalte ho?",
        "{x} wala kaunsa hai",
        "bina {x} ke kya milega?",
        "{x} hai ya nahi?",
        "{x} to nahi hai na isme?",
        "check karo {x} hai kya",
    ),
)
FIELDS = "[check, yes, no]"
"""What the till asks for, on the last line of a message."""
LABELS = ("", "", "Customer: ", "Msg: ", "> ", "Chat: ")


def question(menu: Mapping[str, Item], cities: Sequence[City], split: Split, rng: random.Random) -> Example:
    """The cards of two or three items that belong to the split together, and one thing to check."""
    items = _items(menu, split, rng)
    within = sorted({allergen for item in items for allergen in item.allergens})
    # what is in none of them is asked now and then
    check = VEG if rng.random() < 0.25 else rng.choice(within if within and rng.random() < 0.85 else list(WORDS))
    card = rng.choice(CARDS)
    comma = rng.choice((", ", "/", " + "))
    text = rng.choice(BETWEEN).join(
        card.format(item=item.name, diet=item.diet, contains=comma.join(item.allergens) or "no allergens")
        for item in items
    )
    voice = voice_in(rng.choice(cities), rng)
    call = rng.choice(voice.city.called)
    if check == VEG:
        asked = voice.of(*ASK_VEG, rng).format(call=call)
    else:
        asked = voice.of(*ASK_ALLERGEN, rng).format(call=call, x=rng.choice(WORDS[check][0 if voice.is_english else 1]))
    split_up: dict[bool, list[str]] = {True: [], False: []}
    for item in items:
        split_up[item.diet == VEG if check == VEG else check in item.allergens].append(item.name)
    answer = compact({"check": check, "yes": split_up[True], "no": split_up[False]})
    parts = (text, f"{rng.choice(LABELS)}{typed(asked, rng)}")
    ordered = parts if rng.random() < 0.75 else parts[::-1]
    return Example("\n".join((*ordered, FIELDS)), answer, kind=KIND)


def _items(menu: Mapping[str, Item], split: Split, rng: random.Random) -> list[Item]:
    while True:
        items = rng.sample([item for item in menu.values() if item.part != "drink"], rng.choice((2, 2, 3)))
        if home(*(item.name for item in items)) == split:
            return items
