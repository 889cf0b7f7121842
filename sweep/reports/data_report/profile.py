"""The record of a task's data: counts, lengths, duplicates, and what cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "tune", "certify", "test")
"""Validation is divided into tune, which the search uses, and certify, on which the verdict is made."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows by their places (file and line), the later one first.

    Attributes:
        similarity: of near-duplicates, 0.7 to 1; None for equal ones.
    """

    here: str
    there: str
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows of one part that are in another part, or earlier in the same one.

    Attributes:
        first: the first few of them.
        complete: whether there are no more; else the count is a lower bound.
    """

    part: str
    other: str
    count: int
    first: tuple[Pair, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Balance:
    """How often each value occurs.

    Attributes:
        what: `label`, `kind` or `answer`.
        counts: by value, the most frequent in train first; for each part of PARTS.
    """

    what: str
    counts: Mapping[str, tuple[int, ...]]

    def only_outside_train(self) -> list[str]:
        """The values that are in another part, and not in train."""
        return [value for value, counts in self.counts.items() if not counts[0] and any(counts)]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of examples, prompt and answer together.

    Attributes:
        unit: tokens, or words where there is no tokenizer.
        whole: of the examples looked at, ascending.
        answers: of their answers alone, ascending.
        parts: of the examples looked at, by part.
        sampled: whether these are a random sample.
        longest: places and lengths of the longest rows (by characters, of all rows).
    """

    unit: str
    whole: NDArray[np.int64]
    answers: NDArray[np.int64]
    parts: Mapping[str, NDArray[np.int64]]
    sampled: bool
    longest: tuple[tuple[str, int], ...]

    def covering(self, share: float) -> int:
        """The smallest length that at least this share of the examples does not exceed."""
        place = min(len(self.whole) - 1, int(np.ceil(share * len(self.whole) - 1e-9)) - 1)
        return int(self.whole[max(0, place)])

    def most(self) -> int:
        """The greatest length seen."""
        return max(int(self.whole[-1]), *(length for _, length in self.longest), 0)

    def longer(self, part: str, limit: int) -> tuple[int, int]:
        """How many examples of a part are longer than the limit, and of how many that were looked at."""
        lengths = self.parts.get(part, np.zeros(0, dtype=np.int64))
        return int((lengths > limit).sum()), len(lengths)


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Text of a sensitive form; the text itself is not kept.

    Attributes:
        rows: number of rows with it.
        first: the place of the first one.
    """

    name: str
    rows: int
    first: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """An example as the model is given it.

    Attributes:
        place: file and line.
        prompt: with chat template and special tokens; not trained.
        answer: with the end-of-turn token; these tokens are trained.
        tokens: of both, None without a tokenizer.
        trained: tokens of the answer.
        note: what happens to it, if it is too long.
    """

    place: str
    part: str
    prompt: str
    answer: str
    tokens: int | None = None
    trained: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class DataProfile:
    """What is known of a task's data.

    Attributes:
        understood: how the source was understood, and its own warnings.
        counts: usable examples by part.
        unusable: rows that cannot be used.
        empty: of these, with an empty or missing prompt or answer.
        problems: what is wrong with them and with the whole, by file and line; the first ones.
        more_problems: how many more there are.
        within: rows repeated within their part; prompts with several answers are counted in `contradictory`.
        across: rows whose prompt is in an earlier part, too.
        left_out: of `counts`, rows that are not judged because train or tune ask the same; only those parts that have some.
        near: rows with a near-duplicate in an earlier part, without those in `across`.
        compared: rows that were compared for near-duplicates.
        model: the model of the study.
        has_tokenizer: whether its tokenizer was there to be used.
        context: maximum tokens of the model, None if unknown.
    """

    name: str
    understood: tuple[str, ...]
    counts: Mapping[str, int]
    unusable: int
    empty: int
    problems: tuple[str, ...]
    more_problems: int
    within: tuple[Repeats, ...]
    contradictory: int
    across: tuple[Repeats, ...]
    near: tuple[Repeats, ...]
    compared: int
    balances: tuple[Balance, ...]
    lengths: Lengths | None
    sensitive: tuple[Sensitive, ...]
    rendered: tuple[Rendered, ...]
    model: str
    has_tokenizer: bool
    context: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Usable examples of all parts."""
        return sum(self.counts.values())


def repeats_of(repeats: Sequence[Repeats], part: str, other: str) -> Repeats | None:
    """The entry of these two parts; None if there is none."""
    return next((each for each in repeats if (each.part, each.other) == (part, other)), None)
