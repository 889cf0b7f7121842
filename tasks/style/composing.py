"""Which facts of the originals make a row, so that no two rows have much in common."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence

from tasks.style.originals import Fact, Original

_PRONOUN = re.compile(r"(?:He|She|It|They|His|Her|Their|Its|Each|Some|Both|Those|Who|The others|The other|The gate)\b")
SINGLES, PAIRS = 3, 7


def scenes(original: Original, rng: random.Random) -> list[tuple[Fact, ...]]:
    """One or two facts of a scene, in the order of the tale.

    A fact that begins with a pronoun is told only after the last one before it that does not, which names whom it is about.
    """
    facts = original.facts
    whole = [not _PRONOUN.match(fact.plain) for fact in facts]
    singles = [(fact,) for fact, complete in zip(facts, whole, strict=True) if complete]
    pairs = [
        (facts[one], facts[other])
        for one, other in itertools.combinations(range(len(facts)), 2)
        if whole[one] and (whole[other] or (other - one <= 2 and not any(whole[one + 1 : other])))
    ]
    return [*_some(singles, SINGLES, rng), *_some(pairs, PAIRS, rng)]


def products(original: Original, rng: random.Random) -> list[tuple[Fact, ...]]:
    """One to three of a product's five facts, in any order; two choices share one fact at most, or are half of one another."""
    a, b, c, d, e = rng.sample(original.facts, len(original.facts))
    return [(a, b, c), (d, a, e), (b, d), (e, b), (c, d), (c, e), (a,)]


def couplets(original: Original, rng: random.Random) -> list[tuple[Fact, Fact]]:
    """Every pair of lines that rhyme with one another, once, in either order, shuffled."""
    pairs = [
        (one, other) if rng.random() < 0.5 else (other, one) for one, other in itertools.combinations(original.facts, 2)
    ]
    rng.shuffle(pairs)
    return pairs


def stanzas(originals: Sequence[Original], twos: int, fours: int, rng: random.Random) -> list[tuple[Fact, ...]]:
    """Couplets, and stanzas of two couplets on one theme; no two have more than one line in common, as long as there are enough lines.

    Args:
        twos: number of couplets.
        fours: number of stanzas of four lines.
    """
    left = {original.title: couplets(original, rng) for original in originals}
    seen: set[frozenset[Fact]] = set()
    made: list[tuple[Fact, ...]] = []
    order = itertools.cycle(rng.sample(originals, len(originals)))
    while len(made) < twos:
        title = next(order).title
        if left[title]:
            made.append(left[title].pop())
    related = [pair for pair in itertools.combinations(originals, 2) if pair[0].theme == pair[1].theme]
    rng.shuffle(related)
    by_theme = itertools.cycle(related)
    while len(made) < twos + fours:
        one, other = next(by_theme)
        stanza = _joined(left[one.title], left[other.title], seen)
        if stanza is not None:
            made.append(stanza)
    return made


def _joined(
    ones: list[tuple[Fact, Fact]], others: list[tuple[Fact, Fact]], seen: set[frozenset[Fact]]
) -> tuple[Fact, ...] | None:
    """Two couplets no two lines of which were together before; they are taken out of what is left."""
    for one, other in itertools.product(ones, others):
        together = {frozenset(pair) for pair in itertools.product(one, other)}
        if not together & seen:
            seen |= together
            ones.remove(one)
            others.remove(other)
            return (*one, *other)
    return None


def _some(choices: Sequence[tuple[Fact, ...]], count: int, rng: random.Random) -> list[tuple[Fact, ...]]:
    return rng.sample(choices, min(count, len(choices)))
