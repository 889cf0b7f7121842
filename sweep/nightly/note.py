"""The morning note in Markdown: what ran, the verdict, what changed, what it cost, what failed and what to do, and where to look."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sweep.config.units import show_seconds
from sweep.console.command_line import pasteable
from sweep.console.masking import mask
from sweep.nightly.night import Night, Outcome
from sweep.nightly.notify import Delivery
from sweep.nightly.standing import Standing, changes, standing
from sweep.reports.steps import open_runs
from sweep.store.paths import Paths

Link = Callable[[Path, str], str]
"""How a file is shown: its path, and what it is."""

_MOST_REASON = 1200
"""Characters of the reason of a failure; the log has the rest."""
_OUTCOMES = {
    Outcome.DONE: "Done: the study ran to its end.",
    Outcome.UNFINISHED: "Unfinished: the deadline came first. All finished trials are kept, and the next night continues there.",
    Outcome.FAILED: "Failed: the study ended with an error. All finished trials are kept.",
    Outcome.SKIPPED: "Skipped: the checks before the start said no, and nothing was started.",
    Outcome.MISSED: "Missed: the machine was off at the planned time, and the night was not made up for.",
}


def title(night: Night) -> str:
    """The note's first line, without a mark of a heading."""
    now = standing(night.verdict)
    still = "" if night.outcome in (Outcome.DONE, Outcome.UNFINISHED) else "still "
    return f"{night.study}, night of {night.date}: {night.outcome}" + (
        f"; {still}{now.words}" if now is not None else ""
    )


def note(night: Night, earlier: Sequence[Night], paths: Paths, link: Link) -> str:
    """The note on a night.

    Args:
        earlier: the nights of the same schedule and study before this one, in order.
        link: how files are shown where the note will be read.
    """
    now = standing(night.verdict)
    return "\n".join(
        [
            f"# {title(night)}",
            "",
            *(["\n".join(_answer(now)), ""] if now is not None else []),
            *_section("Change since last night", _changed(night)),
            *_section("What ran", _ran(night)),
            *_section("What failed", _failed(night, earlier)),
            *_section("What to do", _to_do(night, now)),
            *_section("Cost", _cost(night, earlier)),
            *_section("Where to look", _links(night, paths, link)),
        ]
    )


def delivered(deliveries: Sequence[Delivery]) -> str:
    """The section on what became of the messages, to follow the note; empty if none was to be sent."""
    lines = (
        f"{delivery.to}: {'sent' if delivery.error is None else f'not sent: {delivery.error}'}"
        for delivery in deliveries
    )
    section = _section("Messages", lines)
    return "\n".join(["", *section]) if section else ""


def linked_from(folder: Path) -> Link:
    """Links for a file in this folder, which stay right when the whole of `mlruns` is moved."""
    return lambda path, text: f"[{text}]({Path(os.path.relpath(path, folder)).as_posix()})"


def named_on_this_machine(path: Path, text: str) -> str:
    """For a message, which is read elsewhere: the file's path, and on which machine it is."""
    return f"{text}: {path} on {socket.gethostname()}"


def _section(heading: str, lines: Iterator[str]) -> list[str]:
    """Nothing if there are no lines."""
    items = [f"- {line}" for line in lines]
    return [f"## {heading}", "", *items, ""] if items else []


def _answer(now: Standing) -> Iterator[str]:
    yield f"Status: {now.status}. {now.headline}".rstrip()
    if now.reasons:
        yield ""
        yield from (f"- {reason}" for reason in now.reasons)


def _changed(night: Night) -> Iterator[str]:
    found = changes(night.before, night.verdict)
    yield from (f"{change.text}." for change in found)
    if not found and night.verdict is not None:
        yield "None."


def _ran(night: Night) -> Iterator[str]:
    idle = night.outcome is Outcome.DONE and not night.trained and not night.refreshed
    yield "Done: nothing was left to train." if idle else _OUTCOMES[night.outcome]
    if night.outcome.ran:
        yield f"From {_moment(night.started)} to {_moment(night.ended)}, by schedule {night.schedule}."
        if night.trained or not night.refreshed:  # those of a refresh are not counted
            yield f"Trials completed in this night: {night.trained}."
    else:
        yield f"By schedule {night.schedule}, at {_moment(night.started)}."
    if night.reason and night.outcome in (Outcome.DONE, Outcome.UNFINISHED):
        yield _reason(night)
    now = standing(night.verdict)
    if now is None:
        return
    if now.score is not None:
        base = f" (base model {now.base_score:.3f})" if now.base_score is not None else ""
        yield f"{now.metric} on test: {now.score:.3f}{base}."
    if now.margin:
        yield f"Margin: {now.margin}."


def _failed(night: Night, earlier: Sequence[Night]) -> Iterator[str]:
    if night.reason and night.outcome not in (Outcome.DONE, Outcome.UNFINISHED):
        yield _reason(night)
    if night.outcome is Outcome.FAILED:
        yield "Its process was killed." if night.exit_code is None else f"Its exit code is {night.exit_code}."
    row = _in_a_row(night, earlier)
    if row > 1:
        yield f"This is night {row} in a row without a result ({night.outcome})."
    now, before = standing(night.verdict), standing(night.before)
    fresh = (now.failed if now else 0) - (before.failed if before else 0)
    if fresh > 0:
        yield f"{fresh} trial{'s' if fresh > 1 else ''} failed; the report lists the reasons."


def _in_a_row(night: Night, earlier: Sequence[Night]) -> int:
    """How many nights up to this one had no result; 0 if this one has."""
    count = 0
    for each in (night, *reversed(earlier)):
        if each.outcome in (Outcome.DONE, Outcome.UNFINISHED):
            break
        count += 1
    return count


def _to_do(night: Night, now: Standing | None) -> Iterator[str]:
    if night.outcome is Outcome.FAILED:
        yield _remedy(night)
    elif night.outcome is Outcome.SKIPPED:
        yield f"Free what is missing; `{pasteable('python -m sweep.doctor')}` shows disk and memory. The next night tries again."
    elif night.outcome is Outcome.MISSED:
        yield "Leave the machine on at the planned time, or plan another one. The next night continues where the study stopped."
    elif now is not None and now.settle is not None:
        command, seconds = now.settle
        takes = f"about {show_seconds(seconds)}" if seconds > 0 else "nothing is trained"
        yield f"To settle what is open ({takes}): `{pasteable(mask(command))}`"
    elif night.outcome is Outcome.DONE and night.verdict is not None:
        yield "Nothing."


def _remedy(night: Night) -> str:
    """What to do about a failure, by the exit code (see `sweep.errors`)."""
    plan = pasteable(f"python -m sweep.plan +study={night.study}")
    match night.exit_code:
        case 2:
            return f"Correct the settings or the data; `{plan}` lists everything that is wrong with the settings."
        case 3:
            return (
                f"This machine lacks something: `{pasteable('python -m sweep.doctor')}` says what, and how to get it."
            )
        case 4:
            return "Read why the trials failed, in the log or the report, and change the settings that they have in common."
        case 130:
            return "It was stopped by hand. The next night continues."
        case None:
            return (
                "Read the end of the log. If the system killed the process for memory, set budget.memory or executor.workers=1. The "
                "next night continues."
            )
    return "Read the end of the log. The next night tries again."


def _cost(night: Night, earlier: Sequence[Night]) -> Iterator[str]:
    if night.outcome.ran:
        completed = f", {_trials(night.trained)}" if night.trained or not night.refreshed else ""
        yield f"This night: {show_seconds(night.seconds)}{completed}."
    nights = [each for each in (*earlier, night) if each.outcome.ran]
    if len(nights) > 1:
        seconds, trials = sum(each.seconds for each in nights), sum(each.trained for each in nights)
        yield f"All {len(nights)} nights since {nights[0].date}: {show_seconds(seconds)}, {_trials(trials)}."


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def _links(night: Night, paths: Paths, link: Link) -> Iterator[str]:
    for path, text in (
        (paths.page(night.study), "the report"),
        (paths.verdict(night.study), "the verdict for programs"),
        (paths.night_log(night.schedule, night.date), "the night's log"),
        (paths.nights_page, "all nights"),
    ):
        if path.exists() or path == paths.nights_page:
            yield link(path, text)
    runs = open_runs(paths, None) if paths.mlflow_database.exists() else None
    if runs is not None:
        yield f"MLflow: `{runs}`"


def _reason(night: Night) -> str:
    """The reason in one paragraph."""
    text = " ".join(mask(night.reason).split())
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON].rstrip()} ..."


def _moment(seconds: float) -> str:
    """In this machine's zone, with its offset."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %z")
