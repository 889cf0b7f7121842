"""What a kind of fault is: a short name, what is done, and what is documented to come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.faults.case import Case

DONE = frozenset({0})
STOPPED = frozenset({0, 130})
KILLED = frozenset({0, -9})
REFUSED = frozenset({2})
LACKS = frozenset({0, 3})
ANY = frozenset({0, 2, 3, 4})
"""Codes of sweep/errors.py; 0 stands beside most, since a fault may come too late or do no harm."""

FRESH, HALF, WHOLE, EMPTY = "fresh", "half", "whole", "empty"
"""What is there before: nothing but data, half of the study, the whole study, not even a folder `mlruns`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        what: what is done, in a line.
        disturb: does it.
        starts: what may be there before; one of them is drawn.
        folders: names of the study's folder; one of them is drawn.
        same_end: whether the study must end as the undisturbed one.
        goes_on: whether the same command must finish the study.
        trains_more: whether another study may be trained on the way, for example on data that was changed.
        lacks: says why it cannot be injected on this machine; None if it can.
    """

    name: str
    what: str
    disturb: Callable[[Case], None]
    starts: Sequence[str] = (FRESH,)
    folders: Sequence[str] = ("study",)
    same_end: bool = True
    goes_on: bool = True
    trains_more: bool = False
    lacks: Callable[[], str | None] = lambda: None


KINDS: dict[str, Kind] = {}
"""Every kind by its name, in the order of the table."""


def kind(
    name: str,
    *,
    starts: Sequence[str] = (FRESH,),
    folders: Sequence[str] = ("study",),
    same_end: bool = True,
    goes_on: bool = True,
    trains_more: bool = False,
    lacks: Callable[[], str | None] = lambda: None,
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Makes a function a kind of fault; the first line of its docstring says what it does."""

    def register(disturb: Callable[[Case], None]) -> Callable[[Case], None]:
        assert disturb.__doc__
        what = disturb.__doc__.strip().splitlines()[0].rstrip(".")
        KINDS[name] = Kind(name, what, disturb, starts, folders, same_end, goes_on, trains_more, lacks)
        return disturb

    return register
