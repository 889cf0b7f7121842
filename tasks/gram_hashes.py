"""The word 3-grams of many texts at once, as 32-bit hashes that are the same in every run (`tasks.near_duplicates` defines them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.near_duplicates import SIZE, WORD

MOST_GRAMS = 128
"""Grams that are kept of a text."""
MOST_CHARACTERS = 100_000
"""Characters of a text that are looked at."""
_PIECE = 50_000
"""Characters that are hashed at once."""
_CODES = 0x110000

Hashes = NDArray[np.uint32]
Words = NDArray[np.uint64]


def hashed_grams(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.uint8]]:
    """The smallest MOST_GRAMS hashes of each text's grams, ascending, one text after the other; and how many each has."""
    parts = [_hashed(some) for some in _lowered(texts)]
    if not parts:
        return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint8)
    return np.concatenate([hashes for hashes, _ in parts]), np.concatenate([sizes for _, sizes in parts])


def _lowered(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in lower case, in pieces that fit into a processor's cache."""
    piece: list[str] = []
    length = 0
    for text in texts:
        piece.append(text[:MOST_CHARACTERS].lower())
        length += len(piece[-1])
        if length >= _PIECE:
            yield piece
            piece, length = [], 0
    if piece:
        yield piece


def _hashed(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.uint8]]:
    words, owner = _words(texts)
    grams, of = _combined(words, owner, len(texts))
    # both in one number: sorting it sorts by text, then by hash
    keys = np.sort(of.astype(np.uint64) << np.uint64(32) | grams >> np.uint64(32))
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    text = (keys >> np.uint64(32)).astype(np.int64)
    counts = np.bincount(text, minlength=len(texts))
    place = np.arange(len(keys)) - (np.cumsum(counts) - counts)[text]
    hashes = keys[place < MOST_GRAMS].astype(np.uint32)  # the lower half
    return hashes, np.minimum(counts, MOST_GRAMS).astype(np.uint8)


def _words(texts: Sequence[str]) -> tuple[Words, NDArray[np.int64]]:
    """A hash of each word, in order, and the number of its text."""
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    inside = np.zeros(len(codes) + 2, dtype=np.int8)
    inside[1:-1] = _word_characters()[codes]
    edges = np.flatnonzero(np.diff(inside))
    starts, ends = edges[::2], edges[1::2]
    powers, inverses = _powers(1 << max(10, (len(codes) + 1).bit_length()))
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
    # a polynomial in the characters of the word, wherever it stands
    words = _mixed((sums[ends] - sums[starts]) * inverses[starts])
    borders = np.cumsum([len(text) + 1 for text in texts])
    return words, np.searchsorted(borders, starts, side="right")


def _combined(words: Words, owner: NDArray[np.int64], texts: int) -> tuple[Words, NDArray[np.int64]]:
    """A hash of each gram, and the number of its text. A text of fewer words than a gram has is one gram."""
    factors = [np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)]
    last = len(words) - SIZE + 1
    hashes, owners = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    if last > 0:
        whole = owner[:last] == owner[SIZE - 1 :]
        total = np.zeros(last, dtype=np.uint64)
        for step, factor in enumerate(factors):
            total += words[step : step + last] * factor
        hashes.append(_mixed(total[whole]))
        owners.append(owner[:last][whole])
    counts = np.bincount(owner, minlength=texts)
    first = np.cumsum(counts) - counts
    for size in range(1, SIZE):
        short = np.flatnonzero(counts == size)
        total = np.full(len(short), size, dtype=np.uint64)
        for step in range(size):
            total += words[first[short] + step] * factors[step]
        hashes.append(_mixed(total))
        owners.append(short)
    return np.concatenate(hashes), np.concatenate(owners)


def _mixed(values: Words) -> Words:
    """Every bit of the result depends on every bit of the value (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _word_characters() -> NDArray[np.int8]:
    """Whether each character may be in a word. (code points,)"""
    table = np.zeros(_CODES, dtype=np.int8)
    # surrogates have no place in text; they are in no word
    every = "".join(map(chr, range(0xD800))), "".join(map(chr, range(0xE000, _CODES)))
    for first, text in zip((0, 0xE000), every, strict=True):
        for match in WORD.finditer(text):
            table[first + match.start() : first + match.end()] = 1
    return table


@cache
def _powers(count: int) -> tuple[Words, Words]:
    """Powers of an odd number and of its inverse, both modulo 2 ** 64."""
    base = 0x5851F42D4C957F2D
    inverse = pow(base, -1, 1 << 64)
    return _geometric(base, count), _geometric(inverse, count)


def _geometric(base: int, count: int) -> Words:
    values = np.ones(count, dtype=np.uint64)
    known = 1
    while known < count:
        step = np.uint64(pow(base, known, 1 << 64))
        values[known : 2 * known] = values[: min(known, count - known)] * step
        known *= 2
    return values
