"""Near-duplicates among a million texts, by the definition of `tasks.near_duplicates`.

Texts come in batches and are not kept. Per text stay 97 bytes in memory, and its grams as 32-bit hashes, at most 128 of them, in a
temporary file. A text of more grams is represented by its 128 smallest hashes, which are a random sample of them (bottom-k sketch:
Cohen and Kaplan 2007); its similarities have a standard error of at most 0.04. All others are exact.

Pairs to compare are found by MinHash and locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998): 24 bands of 4 values, a byte
each (b-bit minwise hashing: Li and König 2010). A pair with a similarity of 0.7 is found with a chance of 99.8 %, one with 0.8 in all but a
few of a million cases; then its grams are compared. The hashes are fixed, so the same texts have the same near-duplicates in every run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.gram_hashes import MOST_GRAMS, Hashes, hashed_grams
from tasks.near_duplicates import THRESHOLD, most_texts

BANDS, ROWS = 24, 4
BYTES_PER_TEXT = BANDS * ROWS + 1
NEIGHBOURS = 3
"""Texts on either side, in the order of a band, that a text is compared with in any case."""
_SURELY_DIFFERENT = 0.5
"""Pairs whose 96 values agree to a smaller part are not compared: 0.7 is four standard errors away."""
_MOST_COMPARISONS = 40_000_000
"""Pairs whose values are compared; after that, only the nearest ones of each band."""
_MOST_AT_ONCE = 2_000_000
_MOST_VERIFICATIONS = 500_000
"""Pairs whose grams are compared."""
_COUNTERS = 22
"""The occurrences of grams are counted in 2 ** 22 cells, by the first bits of their hash."""
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Similar:
    """The texts of one part that have a near-duplicate in an earlier one.

    Attributes:
        places: of these texts, ascending.
        partners: the place of a near-duplicate of each.
        similarity: of both.
        complete: whether every pair that the bands found was compared; else there may be more.
    """

    places: NDArray[np.int64]
    partners: NDArray[np.int64]
    similarity: NDArray[np.float64]
    complete: bool


@dataclass(frozen=True, slots=True)
class Sketch:
    """The hashes of a text's grams without boilerplate.

    Attributes:
        last: hashes above it are not known; None if all are.
    """

    hashes: frozenset[int]
    last: int | None = None

    def similarity(self, other: Sketch) -> float:
        """The Jaccard similarity of both, on the hashes that both would have."""
        a, b = self.hashes, other.hashes
        known = [sketch.last for sketch in (self, other) if sketch.last is not None]
        if known:
            a, b = (frozenset(value for value in each if value <= min(known)) for each in (a, b))
        common = len(a & b)
        return common / (len(a) + len(b) - common) if common else 0.0


class NearDuplicateSearch:
    """Finds near-duplicates between the parts of a stream of texts. Use as a context manager: it has a temporary file."""

    def __init__(self, threads: int = 2) -> None:
        self._file: Any = None
        self._threads = threads
        self._sizes: list[NDArray[np.uint8]] = []
        self._occurrences = np.zeros(1 << _COUNTERS, dtype=np.int32)

    def __enter__(self) -> NearDuplicateSearch:
        self._file = tempfile.TemporaryFile(prefix="goldilocks-")
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    @property
    def count(self) -> int:
        """Number of texts."""
        return sum(map(len, self._sizes))

    def add(self, texts: Sequence[str]) -> None:
        """Adds texts, in order; a few thousand at a time are fastest."""
        hashes, sizes = hashed_grams(texts)
        np.add.at(self._occurrences, hashes >> np.uint32(32 - _COUNTERS), np.int32(1))
        self._file.write(hashes.tobytes())
        self._sizes.append(sizes)

    def between(
        self, parts: NDArray[Any], same: NDArray[Any], advance: Callable[[float], None] = lambda share: None
    ) -> dict[tuple[int, int], Similar]:
        """The near-duplicates in each part of the texts of each later part, by the numbers of both parts.

        Args:
            parts: the number of each text's part, from 0.
            same: texts with equal values are the same text; such pairs are not counted.
            advance: is told the share that is done, from 0 to 1.
        """
        sizes = np.concatenate([*self._sizes, np.zeros(0, dtype=np.uint8)])
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._file.flush()
        signatures = self._signatures(sizes, starts, lambda share: advance(0.5 * share))
        search = _Bands(signatures, sizes, parts, same, lambda place: self._sketch(place, starts))
        return search.run(lambda share: advance(0.5 + 0.5 * share))

    def _signatures(
        self, sizes: NDArray[np.uint8], starts: NDArray[np.int64], advance: Callable[[float], None]
    ) -> NDArray[np.uint8]:
        """The MinHash values of all texts, a byte each. (texts, BANDS * ROWS)"""
        count = len(sizes)
        signatures = np.zeros((count, BANDS * ROWS), dtype=np.uint8)
        chunks = range(0, count, _CHUNK)

        def sign(start: int) -> None:
            end = min(start + _CHUNK, count)
            hashes = self._read(int(starts[start]), int(starts[end]))
            kept, left = self._significant(hashes, sizes[start:end])
            signatures[start:end] = minhashes(kept, left)

        with ThreadPoolExecutor(self._threads) as threads:
            for done, _ in enumerate(threads.map(sign, chunks), start=1):
                advance(done / len(chunks))
        return signatures

    def _sketch(self, place: int, starts: NDArray[np.int64]) -> Sketch:
        hashes = self._read(int(starts[place]), int(starts[place + 1]))
        kept = hashes[self._occurrences[hashes >> (32 - _COUNTERS)] <= most_texts(len(starts) - 1)]
        last = int(hashes[-1]) if len(hashes) == MOST_GRAMS else None
        return Sketch(frozenset((kept if len(kept) else hashes).tolist()), last)

    def _read(self, start: int, end: int) -> Hashes:
        content = os.pread(self._file.fileno(), 4 * (end - start), 4 * start)
        return np.frombuffer(content, dtype=np.uint32)

    def _significant(self, hashes: Hashes, sizes: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.int64]]:
        """The grams of texts without boilerplate, and how many are left of each."""
        owner = np.repeat(np.arange(len(sizes)), sizes)
        rare = self._occurrences[hashes >> (32 - _COUNTERS)] <= most_texts(self.count)
        left = np.bincount(owner[rare], minlength=len(sizes))
        kept = rare | (left == 0)[owner]
        return hashes[kept], np.bincount(owner[kept], minlength=len(sizes))


def minhashes(hashes: Hashes, sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The MinHash values of texts from the hashes of their grams. (texts, BANDS * ROWS); zeros for a text without grams.

    Args:
        hashes: of all texts, one after the other.
        sizes: number of hashes of each text.
    """
    values = np.zeros((len(sizes), BANDS * ROWS), dtype=np.uint8)
    some = np.flatnonzero(sizes)
    if not len(some):
        return values
    starts = (np.cumsum(sizes) - sizes)[some]
    factors, offsets = _functions()
    column = np.empty(len(hashes), dtype=np.uint32)
    for number in range(BANDS * ROWS):
        np.multiply(hashes, factors[number], out=column)
        np.add(column, offsets[number], out=column)
        smallest = np.minimum.reduceat(column, starts)
        values[some, number] = (smallest * np.uint32(0x9E3779B1)) >> np.uint32(24)
    return values


@cache
def _functions() -> tuple[Hashes, Hashes]:
    """Factors (odd) and offsets of the permutations x -> a * x + b of 32-bit numbers."""
    random = np.random.default_rng(20260711)
    factors, offsets = random.integers(0, 2**32, size=(2, BANDS * ROWS), dtype=np.uint32)
    return factors | np.uint32(1), offsets


class _Bands:
    """Compares texts that share a band with their neighbours in another part."""

    def __init__(
        self,
        signatures: NDArray[np.uint8],
        sizes: NDArray[np.uint8],
        parts: NDArray[Any],
        same: NDArray[Any],
        sketch: Callable[[int], Sketch],
    ) -> None:
        self._signatures = signatures
        self._bands = signatures.view(np.uint32)  # (texts, BANDS)
        self._sizes = sizes
        self._parts = np.asarray(parts)
        self._same = same
        self._sketch = sketch
        self._comparisons, self._verifications = _MOST_COMPARISONS, _MOST_VERIFICATIONS
        numbers = np.unique(self._parts).tolist()
        self._pairs = [(first, second) for first in numbers for second in numbers if first < second]
        self._calls = BANDS * len(self._pairs)
        # the texts of each part, and of each text its index there
        self._texts = {number: np.flatnonzero(self._parts == number) for number in numbers}
        self._index = np.zeros(len(sizes), dtype=np.int32)
        for texts in self._texts.values():
            self._index[texts] = np.arange(len(texts))
        counts = {pair: len(self._texts[pair[1]]) for pair in self._pairs}
        self._partner = {pair: np.full(count, -1, dtype=np.int32) for pair, count in counts.items()}
        self._similarity = {pair: np.zeros(count, dtype=np.float32) for pair, count in counts.items()}
        self._skipped = {pair: np.zeros(count, dtype=bool) for pair, count in counts.items()}

    def run(self, advance: Callable[[float], None]) -> dict[tuple[int, int], Similar]:
        """Looks at one band after another."""
        some = np.flatnonzero(self._sizes)
        for number in range(BANDS) if self._pairs else ():
            # neighbours in this order share the next band too, if any do
            band, following = self._bands[some, number], self._bands[some, (number + 1) % BANDS]
            order = some[np.argsort(band.astype(np.uint64) << np.uint64(32) | following, kind="stable")]
            keys = self._bands[order, number]
            equal = np.concatenate([[False], keys[1:] == keys[:-1], [False]])
            shared = equal[1:] | equal[:-1]
            order, keys = order[shared], keys[shared]
            for pair in self._pairs:
                self._compare(pair, order, keys)
            advance((number + 1) / BANDS)
        return {pair: self._outcome(pair) for pair in self._pairs}

    def _outcome(self, pair: tuple[int, int]) -> Similar:
        partner = self._partner[pair]
        found = partner >= 0
        complete = not bool((self._skipped[pair] & ~found).any())
        similarity = self._similarity[pair][found].astype(np.float64)
        return Similar(self._texts[pair[1]][found], partner[found].astype(np.int64), similarity, complete)

    def _compare(self, pair: tuple[int, int], order: NDArray[np.int64], keys: Hashes) -> None:
        """Compares the open texts of the second part with those of the first that share a band: the nearest in order, then all."""
        first, second = pair
        parts = self._parts[order]
        there, texts_there = np.flatnonzero(parts == first), order[parts == first]
        allowed = min(self._comparisons // max(1, self._calls), _MOST_AT_ONCE)
        self._calls -= 1
        for nearest in (True, False):
            here = np.flatnonzero(parts == second)
            here = here[self._partner[pair][self._index[order[here]]] < 0]
            low = np.searchsorted(keys[there], keys[here], side="left")
            high = np.searchsorted(keys[there], keys[here], side="right")
            some = high > low
            here, low, high = here[some], low[some], high[some]
            if not len(here):
                return
            reach = NEIGHBOURS if nearest else len(there)
            if not nearest and int((high - low).sum()) > allowed:
                reach = max(NEIGHBOURS, allowed // (2 * len(here)))
            middle = np.clip(np.searchsorted(there, here), low, high)
            start, end = np.maximum(low, middle - reach), np.minimum(high, middle + reach)
            if not nearest:
                self._skipped[pair][self._index[order[here]]] |= end - start < high - low
            counts = end - start
            place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts - start, counts)
            self._judge(pair, np.repeat(order[here], counts), texts_there[place])

    def _judge(self, pair: tuple[int, int], texts: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        partner = self._partner[pair]
        open_ = (partner[self._index[texts]] < 0) & (self._same[texts] != self._same[others])
        texts, others = texts[open_], others[open_]
        self._comparisons -= len(texts)
        for start in range(0, len(texts), 1 << 16):
            some, other = texts[start : start + (1 << 16)], others[start : start + (1 << 16)]
            agree = (self._signatures[some] == self._signatures[other]).mean(axis=1)
            for place in np.flatnonzero(agree >= _SURELY_DIFFERENT):
                text, near = int(some[place]), int(other[place])
                own = self._index[text]
                if partner[own] >= 0:
                    continue
                if self._verifications <= 0:
                    self._skipped[pair][own] = True
                    continue
                self._verifications -= 1
                if (similarity := self._sketch(text).similarity(self._sketch(near))) >= THRESHOLD:
                    partner[own], self._similarity[pair][own] = near, similarity
