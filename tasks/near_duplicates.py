"""Near-duplicates: pairs of texts that say nearly the same.

Words are runs of letters, digits and underscores in lower case, without punctuation. A text is its set of word 3-grams; a text of
one or two words is a single gram. Grams that occur in more than 5 % of all texts are boilerplate, such as an instruction that every
prompt begins with. They are left out, unless nothing of a text would remain. Two texts are near-duplicates if the Jaccard similarity
of what is left, |A and B| / |A or B|, is at least 0.7 (Broder 1997, "On the resemblance and containment of documents").

`near_duplicates` finds every pair and holds all texts. `tasks.minhash` has the same definition for a million texts, in little memory.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

SIZE = 3
"""Words of a gram."""
THRESHOLD = 0.7
BOILERPLATE = 0.05
"""Grams in a larger share of the texts are left out."""
FEWEST_ALIKE = 10
"""A gram in at most this many texts is never boilerplate: 5 % of a few texts would be a single pair."""

WORD = re.compile(r"\w+")
_BLOCK = 1024
"""Texts that are compared with all others at once."""
_ROUNDING = 1e-9


def near_duplicates(texts: Sequence[str], *, threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """Every pair of near-duplicates: the places of both texts, the smaller one first, and their similarity, in order of the places.

    Exact. Texts without any word are never near-duplicates. Meant for up to some ten thousand texts.

    Args:
        threshold: smallest similarity, above 0 and at most 1.

    Raises:
        ValueError: the threshold is outside that range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    rows = _ranked(significant([grams(text) for text in texts]))
    pairs: list[tuple[int, int, float]] = []
    for first, second, similarity in _similar(rows, threshold):
        pairs += zip(first.tolist(), second.tolist(), similarity.tolist(), strict=True)
    return sorted(pairs)


def grams(text: str) -> frozenset[str]:
    """The word 3-grams of a text, each with single spaces between its words."""
    words = WORD.findall(text.lower())
    if len(words) < SIZE:
        return frozenset([" ".join(words)]) if words else frozenset()
    return frozenset(map(" ".join, zip(*(words[start:] for start in range(SIZE)), strict=False)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """The Jaccard similarity of two texts' grams, of which at least one has any: |A and B| / |A or B|, from 0 to 1."""
    return len(one & other) / len(one | other)


def most_texts(count: int) -> float:
    """Grams in more texts than this are boilerplate, in a collection of `count` texts."""
    return max(BOILERPLATE * count, FEWEST_ALIKE)


def significant(sets: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """The sets of grams without boilerplate; a set of nothing else stays whole."""
    counts = Counter(gram for row in sets for gram in row)
    most = most_texts(len(sets))
    boilerplate = {gram for gram, count in counts.items() if count > most}
    return [row - boilerplate or row for row in sets]


def _ranked(sets: Sequence[frozenset[str]]) -> list[list[int]]:
    """The grams of each text as numbers, the rarest first."""
    counts = Counter(gram for row in sets for gram in row)
    ranks = {gram: rank for rank, gram in enumerate(sorted(counts, key=lambda gram: (counts[gram], gram)))}
    return [sorted(ranks[gram] for gram in row) for row in sets]


def _similar(rows: Sequence[Sequence[int]], threshold: float) -> Iterator[tuple[Any, Any, Any]]:
    """Places and similarity of the pairs, block by block.

    Two sets with a similarity of t share at least ceil(t * n) of the n grams of either. So among the rarest n - ceil(t * n) + 1 grams
    of each is one that both have (prefix filtering: Chaudhuri, Ganti and Kaushik 2006). Only such pairs are compared.
    """
    columns = 1 + max((row[-1] for row in rows if row), default=0)
    whole = _matrix(rows, columns)
    rarest = _matrix([row[: len(row) - math.ceil(threshold * len(row) - _ROUNDING) + 1] for row in rows], columns)
    others = rarest.T.tocsr()
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        sharing = (rarest[start : start + _BLOCK] @ others).tocoo()
        later = sharing.col > sharing.row + start
        first, second = sharing.row[later] + start, sharing.col[later]
        small, large = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
        alike = small >= threshold * large - _ROUNDING
        first, second = first[alike], second[alike]
        for some in np.array_split(np.arange(len(first)), 1 + len(first) // (64 * _BLOCK)):
            left, right = first[some], second[some]
            common = np.asarray(whole[left].multiply(whole[right]).sum(axis=1), dtype=np.int64).ravel()
            similarity = common / np.maximum(1, sizes[left] + sizes[right] - common)
            enough = similarity >= threshold
            yield left[enough], right[enough], similarity[enough]


def _matrix(rows: Sequence[Sequence[int]], columns: int) -> Any:
    """Which text has which gram. (texts, grams), sparse."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *map(len, rows)])
    places = np.fromiter((gram for row in rows for gram in row), dtype=np.int64, count=int(ends[-1]))
    return csr_array((np.ones(len(places), dtype=np.int32), places, ends), shape=(len(rows), columns))
