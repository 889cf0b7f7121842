"""Writes the data set: `python -m tasks.style.generate` gives the same bytes each time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tasks import generation, registry
from tasks.example import Example
from tasks.generation import SPLITS, Made, Split
from tasks.nearest import nearest_table
from tasks.style import DATA, originals, wording
from tasks.style.classifier import error_table
from tasks.style.composing import products, scenes, stanzas
from tasks.style.originals import Original

SEED = 18190
HELD_OUT = 0.19
"""Share of the scenes, and of the products, in validation and in test."""
THEMES_HELD_OUT, RHYMES_HELD_OUT = 5, 2
"""Themes of the verse in validation and in test, and groups of rhyming lines of each."""
COUPLETS: Mapping[Split, int] = {"train": 220, "validation": 60, "test": 60}
STANZAS: Mapping[Split, int] = {"train": 180, "validation": 50, "test": 50}


def examples() -> dict[Split, list[Example]]:
    """All rows, shuffled; each original is in one split."""
    divided = {kind: divide(kind) for kind in ("prose", "verse", "copy")}
    made: dict[Split, list[Example]] = {}
    for split in SPLITS:
        rows = _prose(divided["prose"][split], _chance(split, "prose"))
        rows += _verse(divided["verse"][split], split, _chance(split, "verse"))
        rows += _copy(divided["copy"][split], _chance(split, "copy"))
        _chance(split, "order").shuffle(rows)
        made[split] = rows
    return made


def divide(kind: str) -> dict[Split, list[Original]]:
    """The originals of each split."""
    every, rng = originals.read(kind), _chance("divide", kind)
    if kind == "verse":
        return _divide_verse(every, rng)
    rng.shuffle(every)
    held = round(HELD_OUT * len(every))
    return {"validation": every[:held], "test": every[held : 2 * held], "train": every[2 * held :]}


def summary(made: Made) -> str:
    """The tables of the data card: rows per kind and split, and originals of each."""
    divided = {kind: divide(kind) for kind in ("prose", "verse", "copy")}
    lines = [generation.cells("originals", *SPLITS), generation.cells(*["---"] * 4)]
    for kind, name in (("prose", "scenes"), ("copy", "products"), ("verse", "groups of rhyming lines")):
        lines.append(generation.cells(name, *(str(len(divided[kind][split])) for split in SPLITS)))
        texts = [str(sum(len(each.facts) for each in divided[kind][split])) for split in SPLITS]
        lines.append(generation.cells({"verse": "lines"}.get(kind, f"sentences of {kind}"), *texts))
    return "\n".join([generation.table(made), "", *lines])


def _divide_verse(every: Sequence[Original], rng: random.Random) -> dict[Split, list[Original]]:
    """Groups of rhyming lines, two of a theme at least, so that stanzas keep to their theme."""
    themes = sorted({original.theme for original in every})
    rng.shuffle(themes)
    by_theme = {theme: [each for each in every if each.theme == theme] for theme in themes}
    for groups in by_theme.values():
        rng.shuffle(groups)
    parts: dict[Split, list[Original]] = {split: [] for split in SPLITS}
    held: Mapping[Split, list[str]] = {"test": themes[:THEMES_HELD_OUT], "validation": themes[-THEMES_HELD_OUT:]}
    for split, chosen in held.items():
        for theme in chosen:
            parts[split] += [by_theme[theme].pop() for _ in range(RHYMES_HELD_OUT)]
    parts["train"] = [original for theme in themes for original in by_theme[theme]]
    return parts


def _prose(scenes_of: Sequence[Original], rng: random.Random) -> list[Example]:
    return [
        Example(wording.asked(wording.PROSE, facts, rng), wording.prose(facts), kind="prose")
        for original in scenes_of
        for facts in scenes(original, rng)
    ]


def _verse(groups: Sequence[Original], split: Split, rng: random.Random) -> list[Example]:
    return [
        Example(
            wording.asked(wording.COUPLET if len(facts) == 2 else wording.STANZA, facts, rng),
            wording.verse(facts),
            kind="verse",
        )
        for facts in stanzas(groups, COUPLETS[split], STANZAS[split], rng)
    ]


def _copy(named: Sequence[Original], rng: random.Random) -> list[Example]:
    return [
        Example(
            wording.asked(wording.COPY, facts, rng, original.title), wording.copy(original.title, facts), kind="copy"
        )
        for original in named
        for facts in products(original, rng)
    ]


def _chance(*purpose: str) -> random.Random:
    return generation.chance(SEED, *purpose)


if __name__ == "__main__":
    made = examples()
    generation.write(made, DATA)
    print(summary(made), error_table(made["validation"]), sep="\n\n")
    print(nearest_table(registry.find("style").metric, made["train"], made["test"]))
