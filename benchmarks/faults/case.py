"""One fault: a folder, the calls in it, and what was drawn for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

import psutil

from benchmarks.faults.call import PLAIN, Call, Ended, Manner
from benchmarks.faults.invariants import Evidence, violations
from benchmarks.faults.kind import ANY, DONE, EMPTY, FRESH, HALF, Kind
from benchmarks.faults.moments import drawn
from benchmarks.faults.processes import end_all, in_folder, waited
from benchmarks.faults.reference import Reference
from benchmarks.faults.state import Finished, finished_in, identity_of, state_of
from benchmarks.faults.study import WORDS

MOST_CALLS = 3
"""So often the same command is called after the fault, at most."""

MOST_VIOLATIONS = 12
"""Maximum number of violations kept per fault."""

_LAST_PROCESSES_SECONDS = 20.0


class Case:
    """A fault that is being injected: what a kind's `disturb` works with.

    Args:
        scratch: a folder of its own.

    Attributes:
        folder: where the study is run.
        random: what to draw from.
        words: what is said to `python -m sweep`; a kind may add to it.
        notes: what was drawn, for the results.
        landed: whether the fault came in time; a study may be over before.
        mlflow_database: where MLflow's runs are, if not in the study's folder.
        cleanup: what a kind has started or mounted, ended when the case is over.
    """

    def __init__(self, kind: Kind, seed: int, reference: Reference, scratch: Path) -> None:
        self.random = Random(f"{kind.name}:{seed}")  # noqa: S311 (no secret)
        self._reference = reference
        self._notes_folder = scratch / "calls"
        self._notes_folder.mkdir(parents=True)
        self.start = self.random.choice(kind.starts)
        self.folder = scratch / self.random.choice(kind.folders)
        self.words = list(WORDS)
        self.notes: list[str] = []
        self.landed = True
        self.mlflow_database: Path | None = None
        self.cleanup = ExitStack()
        self._calls: list[Call] = []
        self._damaged: set[str] = set()
        self._kept: list[Finished] = []
        self._left: list[Path] = []
        if len(kind.starts) > 1:
            self.notes.append(self.start)
        if len(kind.folders) > 1:
            self.notes.append(self.folder.name)

    @property
    def root(self) -> Path:
        """The study's `mlruns`."""
        return self.folder / "mlruns"

    def lay_out(self) -> None:
        """Makes the folder as it is before the fault."""
        self._reference.begin(self.start, self.folder)
        self.take_stock()

    def call(
        self,
        expected: frozenset[int] = DONE,
        manner: Manner = PLAIN,
        *,
        says: str | None = None,
        always_says: str | None = None,
    ) -> Call:
        """Starts the command; see `Ended` for what is expected of it."""
        notes = self._notes_folder / f"call-{len(self._calls) + 1}"
        made = Call(self.words, self.folder, notes, expected, manner, says, always_says)
        self._calls.append(made)
        return made

    def repair(self) -> None:
        """Lets `python -m sweep.doctor --repair` move aside what is damaged."""
        notes = self._notes_folder / f"call-{len(self._calls) + 1}"
        self._calls.append(Call(["--repair"], self.folder, notes, DONE, module="sweep.doctor"))
        self.end_calls()

    def under_way(
        self,
        expected: frozenset[int] = DONE,
        manner: Manner = PLAIN,
        *,
        says: str | None = None,
    ) -> Call:
        """Starts the command and waits for an instant that is drawn."""
        # before the call: it may take a run of the study to learn it
        timeline = self._reference.timeline(HALF if self.start == HALF else FRESH)
        call = self.call(expected, manner, says=says)
        moment = drawn(self.random, timeline)
        self.notes.append(str(moment))
        self.landed = moment.await_in(call) and self.landed
        return call

    def move_to(self, folder: Path) -> None:
        """From here on, the study is run in another folder."""
        self._left.append(self.folder)
        self.folder = folder

    def processes(self) -> list[psutil.Process]:
        """What still runs in the study's folders."""
        return [process for folder in (self.folder, *self._left) for process in in_folder(folder)]

    def one_of(self, *choices: Any) -> Any:
        """Draws one of these, and notes which."""
        chosen = self.random.choice(choices)
        self.notes.append(chosen.name if isinstance(chosen, Enum) else str(chosen))
        return chosen

    def between(self, low: float, high: float, unit: str) -> float:
        """Draws a number, evenly on the log scale, and notes it."""
        number: float = low * (high / low) ** self.random.random()
        self.notes.append(f"{number:.3g} {unit}")
        return number

    def take_stock(self) -> None:
        """From here on, what is finished must be kept."""
        self._kept.append(finished_in(self.root))

    def damage(self, file: Path) -> None:
        """Says that something finished is damaged on purpose: it may be made again."""
        self._damaged.add(identity_of(file))

    def end_calls(self) -> list[Ended]:
        """Waits until all calls are over."""
        return [call.end() for call in self._calls]

    def finish(self, goes_on: bool) -> None:
        """Calls the same command until it is done, without any fault."""
        self.take_stock()
        for _ in range(MOST_CALLS):
            # a code beside 0 is documented as long as it is one of the documented ones; the last must be 0
            if self.call(DONE if goes_on else ANY).end().code == 0 or not goes_on:
                return

    def evidence(self, kind: Kind, disturbed: int) -> Evidence:
        """All that the invariants are checked on."""
        waited(lambda: not self.processes(), _LAST_PROCESSES_SECONDS)
        left = self.processes()
        names = [" ".join(process.cmdline())[-80:] for process in left if process.is_running()]
        end_all(left)
        empty = kind.starts == (EMPTY,)
        return Evidence(
            calls=self.end_calls(),
            disturbed=disturbed,
            state=state_of(self.folder, self.mlflow_database),
            undisturbed=self._reference.state,
            kept=self._kept,
            damaged=frozenset(self._damaged),
            left_running=names,
            outside=["mlruns"] if empty and self.root.exists() else [],
            same_end=kind.same_end,
            goes_on=kind.goes_on,
            trains_more=kind.trains_more,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a fault.

    Attributes:
        drawn: what was drawn for it, the instant included.
        landed: whether it came before the study was over.
        codes: the exit codes of all calls.
        violations: what does not hold.
    """

    kind: str
    seed: int
    drawn: str
    landed: bool
    codes: tuple[int, ...]
    seconds: float
    violations: tuple[str, ...]

    @property
    def name(self) -> str:
        """How to ask for it again: `--only KIND:SEED`."""
        return f"{self.kind}:{self.seed}"

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Outcome:
        """The outcome that a results file holds."""
        lists = {name: tuple(entry[name]) for name in ("codes", "violations")}
        return cls(**{**entry, **lists})


def inject(kind: Kind, seed: int, reference: Reference, scratch: Path) -> Outcome:
    """Injects one fault, lets the study go on, and checks what is left.

    Args:
        scratch: a folder that does not exist yet.
    """
    began = time.monotonic()
    case = Case(kind, seed, reference, scratch)
    codes: tuple[int, ...] = ()
    with _ending(case):
        try:
            case.lay_out()
            kind.disturb(case)
            disturbed = len(case.end_calls())
            if kind.starts != (EMPTY,):
                case.finish(kind.goes_on)
            evidence = case.evidence(kind, disturbed)
            codes = tuple(call.code for call in evidence.calls)
            broken = violations(evidence)
        except Exception as error:  # a fault that cannot be injected is one that failed, not the end of the campaign
            broken = [f"the campaign itself: {type(error).__name__}: {error}"]
    return Outcome(
        kind=kind.name,
        seed=seed,
        drawn=", ".join(case.notes),
        landed=case.landed,
        codes=codes,
        seconds=round(time.monotonic() - began, 1),
        violations=tuple(_shortened(broken)),
    )


def _shortened(broken: Sequence[str]) -> Sequence[str]:
    """The first few: one cause has many effects."""
    left = len(broken) - MOST_VIOLATIONS
    return broken if left <= 0 else [*broken[:MOST_VIOLATIONS], f"and {left} more"]


@contextmanager
def _ending(case: Case) -> Iterator[None]:
    """Whatever happens, nothing of a case is left running or mounted."""
    try:
        yield
    finally:
        end_all(case.processes())
        case.cleanup.close()
