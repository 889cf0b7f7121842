"""A schedule: a study, its nightly hours, and by which scheduler it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sweep.errors import ConfigurationError
from sweep.nightly.hours import Hours, hours_from

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is installed under a name.

    Attributes:
        study: the name of the study that the words describe.
        words: the overrides of `python -m sweep`.
        kind: the scheduler that calls `sweep.schedule tick`.
        since: seconds since the epoch; nights that began before do not count.
        refresh: whether the data change, so that nights call `sweep.refresh` instead of `sweep`.
        catch_up: whether a night that was missed is made up for at the next opportunity.
        notify: where the morning note is sent.
        environment: a file of `NAME=value` lines that the study's process gets, secrets among them; None for none.
        memory, disk: bytes that must be free before a night starts; None for the least that any study needs.
        gpu_memory: bytes that must be free on each GPU, 0 if that is not known; None for a study that trains on no GPU whose driver
            tells it.
        options: keys of the kind, such as `image` of kubernetes.
        files: what was written for the scheduler.
    """

    name: str
    study: str
    words: tuple[str, ...]
    hours: Hours
    kind: str
    since: float
    catch_up: bool = True
    refresh: bool = False
    notify: tuple[str, ...] = ()
    environment: str | None = None
    memory: int | None = None
    disk: int | None = None
    gpu_memory: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def as_json(schedule: Schedule) -> dict[str, Any]:
    """The schedule in the types of JSON."""
    hours = schedule.hours
    return {
        "schema": SCHEMA,
        **asdict(schedule),
        "hours": {"at": f"{hours.at:%H:%M}", "deadline": f"{hours.deadline:%H:%M}", "zone": hours.zone},
        "options": dict(schedule.options),
    }


def from_json(contents: Any) -> Schedule:
    """The schedule that `as_json` has written.

    Raises:
        ConfigurationError: it is not one, or of a later version.
    """
    try:
        if contents["schema"] > SCHEMA:
            raise ConfigurationError("it was written by a later version of Goldilocks")
        values = {name: value for name, value in contents.items() if name != "schema"}
        for name in ("words", "notify", "files"):
            values[name] = tuple(map(str, values[name]))
        return Schedule(**{**values, "hours": hours_from(**values["hours"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"not a schedule ({type(error).__name__}: {error})") from error
