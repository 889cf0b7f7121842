"""The morning note in Markdown: what ran, the verdict, what changed, what it cost, what failed and what to do, and where to look."""

from __future__ import annotations

import datetime
import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sweep.config.units import show_seconds
from sweep.console.masking import mask, mask_quoted
from sweep.nightly.night import Night, Outcome
from sweep.nightly.notify import Delivery
from sweep.nightly.remedy import to_do
from sweep.nightly.standing import Standing, changes, standing
from sweep.nightly.streak import Streak, streak
from sweep.reports.page.escape import in_markdown
from sweep.reports.steps import open_runs
from sweep.store.paths import Paths
from sweep.verdict.figures import capitalized

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
_EVENTS = {
    "verdict": "Taken into use",
    "promotion": "A challenger was promoted",
    "kept": "A challenger was tested, and the champion stays",
    "untested": "A challenger was trained and not tested",
    "rollback": "An earlier version was taken into use again",
}


def title(night: Night) -> str:
    """The note's first line, without a mark of a heading; without the verdict if that cannot be read."""
    try:
        return _title(night)
    except Exception:  # the note says what is wrong
        return _heading(night)


def _heading(night: Night) -> str:
    return f"{night.study}, night of {night.date}: {night.outcome}"


def _title(night: Night) -> str:
    now = standing(night.verdict)
    still = "" if night.outcome in (Outcome.DONE, Outcome.UNFINISHED) else "still "
    news = night.champion_news
    parts = [
        _heading(night),
        f"{news.event}, version {news.version} is in use" if news is not None and news.is_another_version else "",
        f"{still}{now.words}" if now is not None else "",
    ]
    return "; ".join(filter(None, parts))


def note(night: Night, earlier: Sequence[Night], paths: Paths, link: Link) -> str:
    """The note on a night; if the records that it is made from cannot be read, what is certain, and what is wrong.

    Args:
        earlier: the nights of the same schedule and study before this one, in order.
        link: how files are shown where the note will be read.
    """
    try:
        return _whole_note(night, earlier, paths, link)
    except Exception as error:
        lines = [
            *([_reason(night)] if night.reason else []),
            f"This note is not complete, because the study's records could not be read: {in_markdown(mask(repr(error)))}",
        ]
        return "\n".join([f"# {title(night)}", "", *_section("What failed", iter(lines))])


def _whole_note(night: Night, earlier: Sequence[Night], paths: Paths, link: Link) -> str:
    now, row = standing(night.verdict), streak([*earlier, night])
    return "\n".join(
        [
            f"# {title(night)}",
            "",
            *(["\n".join(_answer(now)), ""] if now is not None else []),
            *_section("Change since last night", _changed(night)),
            *_section("What ran", _ran(night)),
            *_section("The champion", _champion(night)),
            *_section("What failed", _failed(night, earlier, row)),
            *_section("What to do", to_do(night, row, now)),
            *_section("Cost", _cost(night, earlier)),
            *_section("Where to look", _links(night, paths, link)),
        ]
    )


def note_id(night: Night) -> str:
    """The same for the same end of the same night: two messages that bear it are one that was sent twice."""
    digest = hashlib.sha256(f"{night.study} {night.ended!r}".encode()).hexdigest()
    return f"{night.schedule}/{night.date}/{digest[:8]}"


def delivered(deliveries: Sequence[Delivery]) -> str:
    """The section on what became of the messages, to follow the note; empty if none was to be sent."""
    lines = (
        f"{delivery.to}: {'sent' if delivery.error is None else f'not sent: {delivery.error}'}"
        for delivery in deliveries
    )
    section = _section("Messages", lines)
    return "\n".join(["", *section]) if section else ""


def as_message(text: str, number: str) -> str:
    """The text of a message, with the id of its note.

    Args:
        number: that id (`note_id`).
    """
    return (
        f"{text}\nNote {number}. Another message with this number is the same note, sent again after an interruption.\n"
    )


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
    yield f"Status: {now.status}. {in_markdown(now.headline)}".rstrip()
    if now.reasons:
        yield ""
        yield from (f"- {in_markdown(reason)}" for reason in now.reasons)


def _changed(night: Night) -> Iterator[str]:
    found = changes(night.before, night.verdict)
    yield from (f"{in_markdown(change.text)}." for change in found)
    if not found and night.verdict is not None:
        yield "None."


def _ran(night: Night) -> Iterator[str]:
    idle = night.outcome is Outcome.DONE and not night.trained and not night.champion_news
    yield "Done: nothing was left to train." if idle else _OUTCOMES[night.outcome]
    if night.outcome.ran:
        yield f"From {_moment(night.started)} to {_moment(night.ended)}, by schedule {night.schedule}."
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


def _champion(night: Night) -> Iterator[str]:
    news = night.champion
    if news is None:
        return
    if news.condition:
        yield f"It is {news.condition} on the changed data ({news.change})."
    if news.event:
        event = _EVENTS.get(news.event, capitalized(news.event))
        yield f"{event}: {in_markdown(' '.join(mask_quoted(news.reason).split()))}."
    elif news.condition and night.outcome is not Outcome.DONE:
        yield "Nothing has been decided yet."
    elif not news.condition and night.outcome is Outcome.DONE:
        yield "There was nothing new to decide."
    yield f"Version {news.version} is in use." if news.version else "No adapter is in use yet."


def _failed(night: Night, earlier: Sequence[Night], row: Streak | None) -> Iterator[str]:
    if night.reason and night.outcome not in (Outcome.DONE, Outcome.UNFINISHED):
        yield _reason(night)
    if night.outcome is Outcome.FAILED:
        if night.exit_code is None:
            yield "Its process was killed."
        else:
            yield f"Its exit code is {night.exit_code}." if night.seconds else "The study could not be started."
    if row is not None:
        yield f"It {row.words}."
    lost = _in_a_row(night, earlier)
    if lost > (row.nights if row is not None else 1):
        yield f"This is night {lost} in a row without a result ({night.outcome})."
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


def _cost(night: Night, earlier: Sequence[Night]) -> Iterator[str]:
    if night.outcome.ran:
        yield f"This night: {show_seconds(night.seconds)}, {_trials(night.trained)}."
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
    text = in_markdown(" ".join(mask_quoted(night.reason).split()))
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON].rstrip()} ..."


def _moment(seconds: float) -> str:
    """In this machine's zone, with its offset."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %z")
