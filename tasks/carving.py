"""Takes a split that the data lacks from the rows of train."""

from __future__ import annotations

from dataclasses import replace

from tasks.readings import Reading
from tasks.splits import place, side_of

CARVED_SHARE = 0.2
"""Expected share of train rows used as a split that the data set lacks."""


def carve(train: Reading, role: str) -> tuple[Reading, Reading]:
    """Takes a share of train's rows by a hash of their prompts, or groups, independent of the other rows.

    Returns:
        what is left, and what was taken.
    """
    taken = tuple(row for row in train.rows if place(side_of(row[1]), salt=role) < CARVED_SHARE)
    kept = tuple(row for row in train.rows if place(side_of(row[1]), salt=role) >= CARVED_SHARE)
    origin = replace(train.origin, path=f"{train.origin.path} (rows taken for {role})", part=role)
    remedy = _remedy(train)
    return replace(train, rows=kept, count=train.count - len(taken), remedy=remedy), Reading(
        origin, taken, len(taken), remedy=remedy
    )


def _remedy(train: Reading) -> str:
    if train.remedy:
        return train.remedy
    sides = len({side_of(example) for _, example in train.rows})
    groups = (
        f" in {sides} {'group' if sides == 1 else 'groups'}, which stay together" if 2 * sides < len(train.rows) else ""
    )
    return (
        f"The data has {len(train.rows)} rows{groups}, of which a fifth is drawn for each split that has no file; add rows, or give each "
        "split a file of its own"
    )
