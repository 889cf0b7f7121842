"""From the words of `schedule install` to a schedule, or all problems at once: at two in the morning nobody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sweep.commands.scheduling.words import KEYS, Words, sorted_words, with_own_keys
from sweep.config.units import byte_count
from sweep.console.masking import mask, mask_word
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError, DataError, EnvironmentLacks
from sweep.nightly.hours import Hours, hours_from, local_zone
from sweep.nightly.installing import problems_of
from sweep.nightly.kinds import kinds
from sweep.nightly.kinds.kind import Place
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, names
from sweep.nightly.studies import in_environment, read_environment
from sweep.store.locks import say_on_stderr
from sweep.store.paths import Paths, checked_name

if TYPE_CHECKING:
    from sweep.commands.doctor.capacity import Need
    from sweep.records import StudyPlan

_CLEAR_LACK = 0.6
"""The memory that a study needs is an estimate: only with less than this share of it a night is skipped, as in `doctor`."""
_REMOTE = ("github", "kubernetes")
"""Kinds whose nights run elsewhere: what is free here says nothing about them."""
_REGISTRATION = "none"
"""Also what containers and runners install just before the tick: without it, a night that cannot run has no row and no note."""


def schedule_from(words: Sequence[str], paths: Paths, place: Place) -> Schedule:
    """The schedule that the words describe, checked together with its study, its data and its notifiers.

    What a night itself records, and what this process need not know for it, is a warning on stderr: receivers outside the words of kinds
    whose nights run elsewhere, and broken data of `kind=none`.

    Raises:
        ConfigurationError: with every problem, those of this machine among them.
        EnvironmentLacks: this machine lacks something, and nothing else is wrong. With `dry_run=true` its scheduler may be missing.
    """
    said = sorted_words(words)
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
        _check_notifiers(said, notify, said.warnings if kind in (*_REMOTE, _REGISTRATION) else None)
        plan = _plan(said, said.warnings if kind == _REGISTRATION else None)
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
    catch_up, refresh = said.truth("catch_up", True), said.truth("refresh", False)
    options = {key: said.one(key) for key in said.own if key not in KEYS}
    since = _since(said, hours, name, paths, place)
    if kind in kinds() and not is_dry_run(words):
        said.lacks += kinds()[kind].lacks()
    if hours is None or plan is None or kind not in kinds() or said.problems:
        if hours is not None and kind in kinds():
            draft = Schedule(name or "study", "", tuple(said.study), hours, kind, since, options=options, notify=notify)
            said.problems += kinds()[kind].problems(draft, place)
        if not said.problems:
            raise EnvironmentLacks(said.lacks)
        raise ConfigurationError(dict.fromkeys([*said.problems, *said.lacks]))
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
        raise ConfigurationError([*problems, *said.lacks])
    if said.lacks:
        raise EnvironmentLacks(said.lacks)
    for warning in said.warnings:
        say_on_stderr(f"warning: {warning}")
    return schedule


def is_dry_run(words: Sequence[str]) -> bool:
    """Whether `dry_run=true` is among the words."""
    return "dry_run=true" in words


def _hours(said: Words) -> Hours | None:
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


def _secret_problems(said: Words) -> Iterator[str]:
    """Words are stored and shown, so they hold no secrets. Notifiers say so themselves."""
    own = [f"{key}={value}" for key, values in said.own.items() if key != "notify" for value in values]
    for word in own:
        if mask(word) != word:
            yield f"{mask(word)}: holds a secret, which would be stored with the schedule; write it into a file that environment=FILE names"
    for word in said.study:
        if mask_word(word) != word:
            yield (
                f"{mask_word(word)}: holds a secret, which would be stored with the schedule; write it into a file that environment=FILE "
                f"names, as NAME=value, and here {word.partition('=')[0]}='${{oc.env:NAME}}'"
            )


def _check_notifiers(said: Words, notify: Sequence[str], warnings: list[str] | None) -> None:
    """Adds what is wrong with the receivers; with what lies outside the words to `warnings`, if the process that sends may know better."""
    import os

    from sweep.nightly.addresses import INSTALL, is_installed, lies_outside
    from sweep.nightly.notify import problems

    if notify and not is_installed():
        lacks = said.lacks if warnings is None else warnings
        lacks.append(f"notify: Apprise is not installed, which sends morning notes: {INSTALL}")
        return
    for entry in notify:
        found = said.problems if warnings is None or not lies_outside(entry) else warnings
        found += problems([entry], os.environ)


def _plan(said: Words, warnings: list[str] | None) -> StudyPlan | None:
    """The study, if it composes and its data can be read; what is wrong with the data alone is added to `warnings`, if there are any."""
    from sweep.commands.app import composed_plan
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of as data_problems

    try:
        return composed_plan(said.study, data_problems, option_problems)
    except (ConfigurationError, DataError, EnvironmentLacks) as error:
        wrong = error
    if warnings is not None:
        with suppress(ConfigurationError, EnvironmentLacks):
            plan = composed_plan(said.study, option_check=option_problems)
            warnings += wrong.problems
            return plan
    if isinstance(wrong, EnvironmentLacks):
        said.lacks += wrong.problems
    else:
        said.problems += with_own_keys(wrong.problems, said.study)
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


def _bytes(said: Words, key: str) -> int | None:
    text = said.one(key)
    if not text:
        return None
    try:
        return byte_count(text)
    except ValueError as error:
        said.problems.append(f"{key}={text}: {error}")
        return None


def _since(said: Words, hours: Hours | None, name: str, paths: Paths, place: Place) -> float:
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
