"""`list`, `status` and `logs`: what is installed and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.units import show_bytes, show_seconds
from sweep.console.masking import mask
from sweep.errors import ConfigurationError
from sweep.nightly.due import next_start
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place
from sweep.nightly.ledger import Ledger
from sweep.nightly.logs import dates
from sweep.nightly.night import Night
from sweep.nightly.open_nights import read
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, load_all
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
        last = ledger.last(each.name)
        ended = f"{last.date} {last.outcome.value}" if last else "none yet"
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
    yield f"  runs       {' '.join(('python -m sweep', *map(mask, schedule.words)))}"
    yield f"  next       {schedule.hours.show(start)}, in {show_seconds(start - now)}"
    needs = [
        f"{show_bytes(size)} {what}" for what, size in (("memory", schedule.memory), ("disk", schedule.disk)) if size
    ]
    if needs:
        yield f"  needs      about {', '.join(needs)}"
    if schedule.notify:
        yield f"  notifies   {', '.join(map(_entry, schedule.notify))}"
    holder = running_tick(paths.tick_lock)
    for night in read(paths):
        if night.schedule == schedule.name and holder is not None:
            yield f"  running    the night of {night.record.date}, until {schedule.hours.show(night.until)} (process {holder.process})"
    nights = Ledger(paths.nights_database).nights(schedule.name, verdicts=False)
    for number, past in enumerate(reversed(nights[-_SHOWN_NIGHTS:])):
        yield f"  {'nights' if number == 0 else '':9}  {_in_a_line(past)}"
    if not nights:
        yield "  nights     none yet"


def log_of(name: str, paths: Paths, night: str | None) -> str:
    """The output of a night, by default the last one.

    Raises:
        ConfigurationError: there is none.
    """
    load(paths, name)
    kept = dates(paths, name)
    if not kept or (night is not None and night not in kept):
        there = f"kept: {', '.join(kept[-10:])}" if kept else "none has run yet"
        raise ConfigurationError(f"date={night or 'last'}: there is no output of such a night of {name} ({there})")
    text = paths.night_log(name, night or kept[-1]).read_text(encoding="utf-8", errors="replace")
    return mask(text)


def kinds_table() -> Iterator[str]:
    """A line for each kind."""
    for kind in kinds().values():
        yield f"  {kind.name:11} {kind.about}"


def installed(schedule: Schedule, place: Place) -> str:
    """The line that confirms an installation."""
    start = next_start(schedule, place.now)
    return f"{schedule.name}: every night {schedule.hours}; the next one {schedule.hours.show(start)}, in {show_seconds(start - place.now)}"


def _in_a_line(night: Night) -> str:
    took = f", {show_seconds(night.seconds)}, {night.trained} trials" if night.outcome.ran else ""
    return f"{night.date} {night.outcome.value}{took}{': ' if night.reason else ''}{mask(night.reason)}"


def _entry(entry: str) -> str:
    """A notifier without what follows its service."""
    return entry if entry.startswith(("env:", "file:")) else f"{entry.partition('://')[0]}://..."
