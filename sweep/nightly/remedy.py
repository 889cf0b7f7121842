"""What to do after a night, in words and commands to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweep.config.units import show_seconds
from sweep.console.command_line import is_ours, pasteable
from sweep.console.masking import mask_quoted
from sweep.nightly.night import Night, Outcome

if TYPE_CHECKING:
    from sweep.nightly.standing import Standing
    from sweep.nightly.streak import Streak

_NIGHTS_BUDGET = re.compile(r" budget\.wall_clock=\S+")
"""The study's command has what the night gave it; whoever runs it by hand has another limit, or none."""
_COMMAND = re.compile(r"`([^`]+)`")


def to_do(night: Night, row: Streak | None, now: Standing | None) -> Iterator[str]:
    """What the reader should do, one text each.

    Args:
        row: the streak that the night belongs to.
        now: where the study stands.
    """
    if night.outcome in (Outcome.FAILED, Outcome.SKIPPED):
        yield remedy(night)
        again = f"Then try at once, `{pasteable(f'python -m sweep.schedule run-now {night.schedule}')}`, or wait for the next night."
        yield again if row is None else f"{again} Until it is corrected, every night will end like this one."
    elif night.outcome is Outcome.MISSED:
        yield "Leave the machine on at the planned time, or plan another one. The next night continues where the study stopped."
    elif now is not None and now.settle is not None:
        command, seconds = _NIGHTS_BUDGET.sub("", now.settle[0]), now.settle[1]
        takes = f"about {show_seconds(seconds)}" if seconds > 0 else "nothing is trained"
        yield f"To settle what is open ({takes}): `{pasteable(mask_quoted(command))}`"
    elif night.outcome is Outcome.DONE and night.verdict is not None:
        yield "Nothing."


def remedy(night: Night) -> str:
    """What to do about a night that failed or was skipped: what its reason says, else by its exit code (see `sweep.errors`)."""
    # of a study that was killed, the reason is the end of its log
    said = _COMMAND.findall(mask_quoted(night.reason)) if night.exit_code is not None else ()
    commands = dict.fromkeys(each for each in said if is_ours(each))
    if night.outcome is Outcome.SKIPPED:
        return f"Free what is missing; `{pasteable('python -m sweep.doctor')}` shows disk and memory."
    if commands:
        return f"Do what the reason says: {', or '.join(f'`{pasteable(each)}`' for each in commands)}."
    match night.exit_code:
        case 2:
            status = pasteable(f"python -m sweep.schedule status {night.schedule}")
            return (
                f"Correct what the reason names, in the data or in the words of the schedule: `{status}` shows them, and installing it "
                "again with others replaces it."
            )
        case 3:
            return f"This machine lacks something: the reason says what; `{pasteable('python -m sweep.doctor')}` examines the rest."
        case 4:
            return "Read why the trials failed, in the log or the report, and change the settings that they have in common."
        case 130:
            return "It was stopped by hand."
        case None:
            return "Read the end of the log. If the system killed the process for memory, set budget.memory or executor.workers=1."
    return "Read the end of the log."
