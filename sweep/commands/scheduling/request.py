"""From the words of `schedule install` to a schedule, or all problems at once: at two in the morning nobody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sweep.config.units import byte_count
from sweep.console.masking import mask
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError, DataError
from sweep.nightly.hours import Hours, hours_from, local_zone
from sweep.nightly.installing import problems_of
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, names
from sweep.nightly.studies import in_environment, read_environment
from sweep.store.paths import Paths, checked_name

if TYPE_CHECKING:
    from sweep.commands.doctor.capacity import Need
    from sweep.records import StudyPlan

KEYS = (
    "at",
    "deadline",
    "zone",
    "name",
    "kind",
    "notify",
    "environment",
    "catch_up",
    "refresh",
    "since",
    "memory",
    "disk",
    "gpu_memory",
    "dry_run",
)
_SYNONYMS: Mapping[str, str] = {
    "tz": "zone",
    "timezone": "zone",
    "time_zone": "zone",
    "time": "at",
    "start": "at",
    "until": "deadline",
    "end": "deadline",
    "env": "environment",
    "catchup": "catch_up",
    "persistent": "catch_up",
}
_TRUTHS = {"true": True, "false": False}
_CLEAR_LACK = 0.6
"""The memory that a study needs is an estimate: only with less than this share of it a night is skipped, as in `doctor`."""
_REMOTE = ("github", "kubernetes")
"""Kinds whose nights run elsewhere: what is free here says nothing about them."""


@dataclass
class _Words:
    """What is written for `install`.

    Attributes:
        own: the values of its own keys.
        study: the overrides of the study.
    """

    own: dict[str, list[str]] = field(default_factory=dict)
    study: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def one(self, key: str, default: str = "") -> str:
        """The value of a key that may be given once."""
        values = self.own.get(key, [default])
        if len(values) > 1:
            self.problems.append(f"{key}: is given {len(values)} times")
            self.own[key] = values[:1]
        return values[0]


def schedule_from(words: Sequence[str], paths: Paths, place: Place) -> Schedule:
    """The schedule that the words describe, checked together with its study, its data and its notifiers.

    Raises:
        ConfigurationError: with every problem.
    """
    said = _sorted(words)
    kind = said.one("kind", "systemd")
    if kind not in kinds():
        said.problems.append(
            f"kind={kind}: there is no such kind{did_you_mean(kind, kinds())} (kinds: {', '.join(kinds())})"
        )
    hours = _hours(said)
    environment = said.one("environment") or None
    variables: Mapping[str, str] = {}
    try:
        variables = read_environment(environment, place.folder)
    except ConfigurationError as error:
        said.problems += error.problems
    notify = tuple(said.own.get("notify", ()))
    said.problems += _secret_problems(said)
    with in_environment(variables):
        said.problems += _notify_problems(notify)
        plan = _plan(said)
    name = said.one("name") or (plan.name if plan is not None else "")
    if name:
        try:
            checked_name(name)
        except ConfigurationError as error:
            said.problems += [f"name={problem}" for problem in error.problems]
    memory, disk, gpu_memory = (_bytes(said, key) for key in ("memory", "disk", "gpu_memory"))
    if plan is not None and kind not in _REMOTE:
        needed = _needs(plan, paths)
        memory, disk = memory or needed.memory, disk or needed.disk
        gpu_memory = (gpu_memory or needed.gpu_memory or 0) if plan.setup.device == "cuda" else None
    catch_up, refresh = _truth(said, "catch_up", True), _truth(said, "refresh", False)
    options = {key: said.one(key) for key in said.own if key not in KEYS}
    since = _since(said, hours, name, paths, place)
    if hours is None or plan is None or kind not in kinds() or said.problems:
        if hours is not None and kind in kinds():
            draft = Schedule(name or "study", "", tuple(said.study), hours, kind, since, options=options, notify=notify)
            said.problems += kinds()[kind].problems(draft, place)
        raise ConfigurationError(dict.fromkeys(said.problems))
    schedule = Schedule(
        name=name,
        study=plan.name,
        words=tuple(said.study),
        hours=hours,
        kind=kind,
        since=since,
        catch_up=catch_up,
        refresh=refresh,
        notify=notify,
        environment=environment,
        memory=memory,
        disk=disk,
        gpu_memory=gpu_memory,
        options=options,
    )
    if problems := problems_of(schedule, place):
        raise ConfigurationError(problems)
    return schedule


def is_dry_run(words: Sequence[str]) -> bool:
    """Whether `dry_run=true` is among the words."""
    return "dry_run=true" in words


def _sorted(words: Sequence[str]) -> _Words:
    said = _Words()
    of_kinds = {key for kind in kinds().values() for key in kind.keys}
    for word in words:
        key, sign, value = word.partition("=")
        if word.startswith("-"):
            said.problems.append(f"{word}: flags are not taken here; write KEY=VALUE")
        elif key in _SYNONYMS and sign:
            said.problems.append(f"{word}: there is no key '{key}'; write {_SYNONYMS[key]}={value}")
        elif key in KEYS or key in of_kinds:
            if not value:
                said.problems.append(f"{key}: a value is needed; write {key}=...")
            said.own.setdefault(key, []).append(value)
        else:
            said.study.append(word)
    kind = kinds().get(said.own.get("kind", ["systemd"])[0])
    for key in said.own:
        if key not in KEYS and kind is not None and key not in kind.keys:
            takers = ", ".join(name for name, each in kinds().items() if key in each.keys)
            said.problems.append(f"{key}: is a key of kind={takers}, not of kind={kind.name}")
    _truth(said, "dry_run", False)
    return said


def _hours(said: _Words) -> Hours | None:
    missing = [key for key in ("at", "deadline") if key not in said.own]
    for key in missing:
        said.problems.append(f"{key}: a time of day is needed; write {key}={'02:00' if key == 'at' else '06:30'}")
    # what is missing is not reported a second time
    at, deadline = said.one("at", "02:00"), said.one("deadline", "06:30")
    if len(missing) == 1:
        at, deadline = (at, at) if "deadline" in missing else (deadline, deadline)
    try:
        return hours_from(at, deadline, said.one("zone") or local_zone())
    except ConfigurationError as error:
        of_one = [each for each in error.problems if not (missing and "is the start as well" in each)]
        said.problems += of_one
        return None


def _secret_problems(said: _Words) -> Iterator[str]:
    """Words are stored and shown, so they hold no secrets. Notifiers say so themselves."""
    own = [f"{key}={value}" for key, values in said.own.items() if key != "notify" for value in values]
    for word in own:
        if mask(word) != word:
            yield f"{mask(word)}: holds a secret, which would be stored with the schedule; write it into a file that environment=FILE names"
    for word in said.study:
        if mask(word) != word:
            yield (
                f"{mask(word)}: holds a secret, which would be stored with the schedule; write it into a file that environment=FILE "
                f"names, as NAME=value, and here {word.partition('=')[0]}='${{oc.env:NAME}}'"
            )


def _notify_problems(notify: Sequence[str]) -> list[str]:
    import os

    from sweep.nightly.notify import problems

    return problems(notify, os.environ)


def _plan(said: _Words) -> StudyPlan | None:
    """The study, if it composes and its data can be read."""
    from sweep.commands.app import composed_plan
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of as data_problems

    try:
        return composed_plan(said.study, data_problems, option_problems)
    except (ConfigurationError, DataError) as error:
        said.problems += error.problems
        return None


def _needs(plan: StudyPlan, paths: Paths) -> Need:
    """What the study needs, estimated from the size of its base; of memory what it clearly needs."""
    from sweep.commands.doctor.capacity import need
    from sweep.commands.doctor.sources import folder_of, parameters_of

    folder = folder_of(plan.setup.model, paths)
    parameters = parameters_of(plan.setup.model, folder)
    from_wheel = plan.setup.model.wheel is not None and plan.setup.model.source in ("auto", "wheel")
    on_gpu = plan.setup.device != "cpu"
    needed = need(parameters, plan, fetched=folder is not None, from_wheel=from_wheel, on_gpu=on_gpu)
    return replace(needed, memory=_clearly(needed.memory), gpu_memory=_clearly(needed.gpu_memory))


def _clearly(size: int | None) -> int | None:
    return None if size is None else round(_CLEAR_LACK * size)


def _bytes(said: _Words, key: str) -> int | None:
    text = said.one(key)
    if not text:
        return None
    try:
        return byte_count(text)
    except ValueError as error:
        said.problems.append(f"{key}={text}: {error}")
        return None


def _truth(said: _Words, key: str, default: bool) -> bool:
    text = said.one(key, str(default).lower())
    if text and text not in _TRUTHS:
        said.problems.append(f"{key}={text}: write true or false")
    return _TRUTHS.get(text, default)


def _since(said: _Words, hours: Hours | None, name: str, paths: Paths, place: Place) -> float:
    """From when on nights count: the given date; as before where a schedule is installed again; else now."""
    text = said.one("since")
    if text:
        try:
            day = datetime.strptime(text, "%Y-%m-%d").date()
        except ValueError:
            said.problems.append(f"since={text}: write a date as YYYY-MM-DD")
            return place.now
        return datetime.combine(day, time(), ZoneInfo(hours.zone if hours else "UTC")).timestamp()
    if name in names(paths):
        try:
            before = load(paths, name)
        except ConfigurationError:
            return place.now
        if before.hours == hours:
            return before.since
    return place.now
