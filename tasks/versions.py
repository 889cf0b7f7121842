"""What changed between two versions of a data set, from hashes of their rows: no text of the earlier version is needed or kept.

A hash of a short text can be guessed by trying texts. Keep the hashes of confidential rows as confidential as a list of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.example import Example, Splits

PARTS = ("train", "tune", "certify", "test")
_DIGITS = 32  # 128 bits: two of a billion rows are alike by chance once in 10^20


@dataclass(frozen=True, slots=True)
class RowHash:
    """A row by its content, 32 hex digits each.

    Attributes:
        asked: of all that the model is given.
        content: of that and what it should answer, label and kind included.
    """

    asked: str
    content: str

    @classmethod
    def of(cls, example: Example) -> RowHash:
        """The hashes of a row."""
        return cls(
            _hash([example.asked]), _hash([example.asked, example.completion, example.label or "", example.kind or ""])
        )


@dataclass(frozen=True, slots=True)
class DataVersion:
    """The rows of a data set, as far as they must be known to compare it with a later version.

    Attributes:
        data_hash: `Splits.data_hash`.
        rows: of each of `PARTS`, in order.
    """

    data_hash: str
    rows: Mapping[str, tuple[RowHash, ...]]

    @classmethod
    def of(cls, splits: Splits) -> DataVersion:
        """The version that these splits are."""
        return cls(splits.data_hash, {part: tuple(map(RowHash.of, getattr(splits, part))) for part in PARTS})

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        rows = {part: [[row.asked, row.content] for row in rows] for part, rows in self.rows.items()}
        return {"data_hash": self.data_hash, "rows": rows}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DataVersion:
        """From what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        rows = {
            part: tuple(RowHash(str(asked), str(content)) for asked, content in plain["rows"][part]) for part in PARTS
        }
        return cls(str(plain["data_hash"]), rows)


@dataclass(frozen=True, slots=True)
class PartChange:
    """How many rows of one part of the data are new, gone, or different.

    Attributes:
        kept: rows that are the same in both versions.
        relabelled: rows with the prompt of an earlier one, but another completion, label or kind.
        moved_in, moved_out: rows that were in another part before, or are in another part since.
        added, removed: all others.
    """

    kept: int = 0
    added: int = 0
    removed: int = 0
    relabelled: int = 0
    moved_in: int = 0
    moved_out: int = 0

    @property
    def is_change(self) -> bool:
        return any((self.added, self.removed, self.relabelled, self.moved_in, self.moved_out))


@dataclass(frozen=True, slots=True)
class DataChange:
    """What changed between two versions, by part."""

    parts: Mapping[str, PartChange]

    @property
    def is_change(self) -> bool:
        """Whether any row differs; an order that differs alone is no change."""
        return any(part.is_change for part in self.parts.values())

    def words(self) -> str:
        """In one line, such as `train: 12 added, 3 removed; certify: 2 relabelled`."""
        named = []
        for part, change in self.parts.items():
            counts = {
                "added": change.added,
                "removed": change.removed,
                "relabelled": change.relabelled,
                "moved here": change.moved_in,
                "moved away": change.moved_out,
            }
            said = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
            if said:
                named.append(f"{part}: {said}")
        return "; ".join(named) or "no row changed"


def change_between(before: DataVersion, after: DataVersion) -> DataChange:
    """What changed, each row counted once. Rows that are repeated count as often as they are repeated."""
    lost, come = {}, {}
    for part in PARTS:
        earlier, later = Counter(before.rows[part]), Counter(after.rows[part])
        lost[part], come[part] = earlier - later, later - earlier
    return DataChange({part: _part_change(part, after.rows[part], lost, come) for part in PARTS})


def _part_change(
    part: str,
    after: Sequence[RowHash],
    lost: Mapping[str, Counter[RowHash]],
    come: Mapping[str, Counter[RowHash]],
) -> PartChange:
    moved_in = _in_common(come[part], _elsewhere(lost, part))
    moved_out = _in_common(lost[part], _elsewhere(come, part))
    entered, left = come[part] - moved_in, lost[part] - moved_out
    asked_before, asked_after = _by_asked(left), _by_asked(entered)
    relabelled = (asked_before & asked_after).total()
    return PartChange(
        kept=len(after) - come[part].total(),
        added=entered.total() - relabelled,
        removed=left.total() - relabelled,
        relabelled=relabelled,
        moved_in=moved_in.total(),
        moved_out=moved_out.total(),
    )


def _elsewhere(rows: Mapping[str, Counter[RowHash]], part: str) -> Counter[RowHash]:
    together: Counter[RowHash] = Counter()
    for other, counted in rows.items():
        if other != part:
            together += counted
    return together


def _in_common(rows: Counter[RowHash], others: Counter[RowHash]) -> Counter[RowHash]:
    return rows & others


def _by_asked(rows: Counter[RowHash]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for row, times in rows.items():
        counted[row.asked] += times
    return counted


@dataclass(frozen=True, slots=True)
class OldAndNew:
    """Places of examples in a part of the later version.

    Attributes:
        old: rows that were in this part of the earlier version, unchanged.
        new: rows that have come since, with prompts that the earlier version had nowhere else.
        left_out: rows that fit neither: their prompt is in the earlier version's training data or another part, or is trained on in the
            later version. What a model does on them says nothing about either.
    """

    old: tuple[int, ...]
    new: tuple[int, ...]
    left_out: tuple[int, ...]


def old_and_new(before: DataVersion, after: DataVersion, part: str) -> OldAndNew:
    """Divides the rows of a part by whether the earlier version had them, so that no model has been trained on a prompt of either.

    Raises:
        ValueError: there is no such part, or it is what models are trained on.
    """
    if part not in PARTS[1:]:
        raise ValueError(f"part must be one of {', '.join(PARTS[1:])}, not {part!r}")
    known = set(before.rows[part])
    others = _asked(row for name in PARTS if name != part for row in before.rows[name])
    trained = _asked(row for version in (before, after) for row in version.rows["train"])
    old, new, left_out = [], [], []
    for place, row in enumerate(after.rows[part]):
        if row.asked in trained:
            left_out.append(place)
        elif row in known:
            old.append(place)
        elif row.asked in others:
            left_out.append(place)
        else:
            new.append(place)
    return OldAndNew(tuple(old), tuple(new), tuple(left_out))


def _asked(rows: Iterable[RowHash]) -> set[str]:
    return {row.asked for row in rows}


def _hash(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:_DIGITS]
