"""Takes a split that the data lacks from the rows of train."""

from __future__ import annotations

from tasks.checks import Origin, Reading
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
    origin = Origin(f"{train.origin.path} (rows taken for {role})", train.origin.name, train.origin.separator)
    rest = Reading(train.origin, kept, train.count - len(taken), train.problems, train.warnings, train.unknown)
    return rest, Reading(origin, taken, len(taken))
