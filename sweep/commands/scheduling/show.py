"""`list`, `status` and `logs`: what is installed and what became of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sweep.config.units import show_bytes, show_seconds
from sweep.console.command_line import pasteable
from sweep.console.masking import mask_quoted, mask_word
from sweep.errors import ConfigurationError
from sweep.nightly.due import next_start
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place
from sweep.nightly.ledger import Ledger
from sweep.nightly.logs import dates
from sweep.nightly.night import Night, Outcome
from sweep.nightly.open_nights import read
from sweep.nightly.remedy import remedy
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, load_all
from sweep.nightly.streak import streak
from sweep.nightly.tick_lock import running_tick
from sweep.store.paths import Paths

_SHOWN_NIGHTS = 5
_HEADINGS = ("name", "hours", "kind", "next night", "last night")


def listed(paths: Paths, now: float) -> Iterator[str]:
    """A line for each schedule."""
    ledger = Ledger(paths.nights_database)
    rows = [_HEADINGS]
    broken: list[str] = []
    for each in load_all(paths):
        if not isinstance(each, Schedule):
            broken.append(f"problem: {each}")
            continue
        nights = ledger.nights(each.name, verdicts=False)
        repeated = streak(nights)
        times = f", {repeated.nights} in a row since {repeated.since}" if repeated is not None else ""
        ended = f"{nights[-1].date} {nights[-1].outcome.value}{times}" if nights else "none yet"
        rows.append((each.name, str(each.hours), each.kind, each.hours.show(next_start(each, now)), ended))
    if len(rows) == 1 and not broken:
        yield f"no schedule is installed here ({paths.root.parent})"
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows if len(rows) > 1 else ():
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    yield from broken


def status(schedule: Schedule, paths: Paths, now: float) -> Iterator[str]:
    """What is known of a schedule."""
    start = next_start(schedule, now)
    yield f"{schedule.name}: study {schedule.study}, {schedule.hours}, kind={schedule.kind}"
    module = "sweep.refresh" if schedule.refresh else "sweep"
    yield f"  runs       {shlex.join(('python', '-m', module, *map(mask_word, schedule.words)))}"
    yield f"  next       {schedule.hours.show(start)}, in {show_seconds(start - now)}"
    sizes = (("of memory", schedule.memory), ("of disk", schedule.disk), ("on each GPU", schedule.gpu_memory))
    needs = [f"{show_bytes(size)} {what}" for what, size in sizes if size]
    if schedule.gpu_memory == 0:
        needs.append("a GPU")
    if needs:
        yield f"  needs      about {', '.join(needs)}"
    if schedule.notify:
        yield f"  notifies   {', '.join(map(_entry, schedule.notify))}"
    holder = running_tick(paths.tick_lock)
    for night in read(paths):
        if night.schedule == schedule.name and holder is not None:
            yield f"  running    the night of {night.record.date}, until {schedule.hours.show(night.until)} (process {holder.process})"
    nights = Ledger(paths.nights_database).nights(schedule.name, verdicts=False)
    shown = nights[-_SHOWN_NIGHTS:]
    for past, before in zip(reversed(shown), [*reversed(shown[:-1]), None], strict=True):
        repeats = before is not None and streak([before, past]) is not None
        yield f"  {'nights' if past is shown[-1] else '':9}  {_in_a_line(past, repeats=repeats)}"
    if not nights:
        yield "  nights     none yet"
        return
    champion = next((night.champion for night in reversed(nights) if night.champion is not None), None)
    if champion is not None and champion.version:
        yield f"  champion   version {champion.version} is in use"
    if (row := streak([night for night in nights if night.study == schedule.study])) is not None:
        yield f"  problem    {row.words}"
    if nights[-1].outcome in (Outcome.FAILED, Outcome.SKIPPED):
        yield f"  to do      {remedy(nights[-1])}"


def log_of(name: str, paths: Paths, night: str | None) -> str:
    """The output of a night, by default the last one.

    Raises:
        ConfigurationError: there is no such schedule, or no output of that night.
    """
    load(paths, name)
    kept = dates(paths, name)
    if not kept:
        return f"no night of {name} has run yet; {pasteable(f'python -m sweep.schedule run-now {name}')} runs one\n"
    if night is not None and night not in kept:
        raise ConfigurationError(
            f"date={night}: there is no output of that night of {name} (kept: {', '.join(kept[-10:])})"
        )
    text = paths.night_log(name, night or kept[-1]).read_text(encoding="utf-8", errors="replace")
    return mask_quoted(text)


def kinds_table() -> Iterator[str]:
    """A line for each kind."""
    for kind in kinds().values():
        yield f"  {kind.name:11} {kind.about}"


def installed(schedule: Schedule, place: Place) -> str:
    """The line that confirms an installation."""
    start = next_start(schedule, place.now)
    return f"{schedule.name}: every night {schedule.hours}; the next one {schedule.hours.show(start)}, in {show_seconds(start - place.now)}"


def _in_a_line(night: Night, *, repeats: bool) -> str:
    trials = f"{night.trained} trial{'' if night.trained == 1 else 's'}"
    took = f", {show_seconds(night.seconds)}, {trials}" if night.outcome.ran else ""
    news = night.champion_news.words if night.champion_news is not None else ""
    reason = "for the same reason as the night before" if repeats else night.reason
    said = " ".join(mask_quoted("; ".join(filter(None, (reason, news)))).split())
    return f"{night.date} {night.outcome.value}{took}{': ' if said else ''}{said}"


def _entry(entry: str) -> str:
    """A notifier without what follows its service."""
    return entry if entry.startswith(("env:", "file:")) else f"{entry.partition('://')[0]}://..."
