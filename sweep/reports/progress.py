"""Progress while a study runs: a live display in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID

from sweep.config.units import show_seconds
from sweep.methods import LORA_VARIANTS
from sweep.records import Split, Stage, Status, StudyPlan, StudyRecord, TrialResult, TrialSpec
from sweep.reports.closing import PlainColumn
from sweep.reports.countdown import Countdown, Cuts
from sweep.reports.forecast import plan_line
from sweep.reports.ladder_kind import is_cut, share_words
from sweep.workers.messages import Progress as Message

_PHASES = {
    "train": "training",
    "cut": "cutting",
    "score": "scoring",
    "answer": "answering",
    "wait": "waiting for an adapter that another worker trains, seconds",
}
_STAGES = {
    Stage.EXPLORE: "trial",
    Stage.SINGLE: "trial",
    Stage.RATES: "rate trial",
    Stage.CERTIFY: "certify",
    Stage.CONFIRM: "confirm",
    Stage.PROMOTION: "promotion test",
}
_EVERY_SECONDS = 20.0
_STEPS_TO_GO_BY = 5


@dataclass(slots=True)
class _Count:
    """Trials of one kind in the current stage."""

    total: int = 0
    begun: int = 0
    ended: int = 0

    def waiting(self, running: int) -> int:
        """Those that have not begun."""
        return max(0, self.total - self.ended - running)


class LiveDisplay:
    """Shows each trial's step and loss, and the time left of the study. Use as a context manager.

    Args:
        expected: the time of a new study in words, if other studies let expect it.
    """

    def __init__(self, out: Console, expected: str | None = None) -> None:
        self._out = out
        self._expected = expected
        self._bars = Progress(
            SpinnerColumn(),
            PlainColumn("{task.description}"),
            BarColumn(bar_width=24),
            PlainColumn("{task.fields[state]}"),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        self._waiting: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._numbers: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._cut: set[str] = set()
        self._trained = _Count()
        self._cuts = _Count()
        self._countdown = Countdown()
        self._last_line = 0.0
        self._base_seconds = 0.0
        self._methods = False

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._out.print(text, style="yellow")

    def waiting(self, text: str) -> None:
        self._waiting = self._bars.add_task(text, total=None, state="")
        if not self._out.is_terminal:
            self._out.print(text)

    def study(self, plan: StudyPlan, record: StudyRecord) -> None:
        self._end_waiting()
        self._countdown = Countdown(plan, record)
        self._methods = bool(plan.methods)
        self._out.print(plan_line(plan, record, self._expected), soft_wrap=True)

    def planned(self, trials: int, done: int, cuts: int = 0, cuts_done: int = 0) -> None:
        self._trained, self._cuts = _Count(trials, done, done), _Count(cuts, cuts_done, cuts_done)

    def began(self, number: int, spec: TrialSpec) -> None:
        self._end_waiting()
        if number > 0:
            count = self._count(spec)
            count.begun += 1
            # trainings and cuts count on their own; where only one kind was planned, the study's number counts
            number = count.begun if self._cuts.total else number
        if is_cut(spec):
            self._cut.add(spec.identity)
        self._numbers[spec.identity] = number
        self._began[spec.identity] = time.monotonic()
        self._tasks[spec.identity] = self._bars.add_task(self._title(spec), total=None, state="starting")

    def progressed(self, spec: TrialSpec, progress: Message) -> None:
        state = f"{_PHASES.get(progress.phase, progress.phase)} {progress.done}/{progress.total}"
        if progress.loss is not None:
            state += f"  loss {progress.loss:.3f}"
        if left := self._time_left(spec, self._guess(spec, progress)):
            state += f"  {left}"
        self._bars.update(self._tasks[spec.identity], total=progress.total, completed=progress.done, state=state)
        if not self._out.is_terminal and time.monotonic() - self._last_line > _EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._out.print(f"  {self._title(spec)}  {state}")

    def ended(self, number: int, result: TrialResult) -> None:
        spec = result.spec
        self._bars.remove_task(self._tasks.pop(spec.identity))
        took = time.monotonic() - self._began.pop(spec.identity)
        if number > 0:
            self._count(spec).ended += 1
            self._countdown.add(result)
        else:
            self._base_seconds = took
        left = self._time_left(spec)
        line = f"{self._title(spec)}: {outcome(result)}"
        self._out.print(f"{line}  ({left})" if left else line)
        self._last_line = time.monotonic()

    def _title(self, spec: TrialSpec) -> str:
        number = self._numbers[spec.identity]
        if spec.arm is None:
            return "base model" if spec.split is Split.TUNE else f"base model on {spec.split.value}"
        if spec.stage is Stage.FINAL:
            return f"on test  {spec.name}"
        what = "cut" if is_cut(spec) else _STAGES[spec.stage]
        name = f"{spec.arm.method}-{spec.name}" if self._methods and spec.arm.method in LORA_VARIANTS else spec.name
        return f"{what} {number} of {self._count(spec).total}  {name}"

    def _count(self, spec: TrialSpec) -> _Count:
        """Where the trial counts; with the trainings, if no number of cuts was planned."""
        return self._cuts if is_cut(spec) and self._cuts.total else self._trained

    def _time_left(self, spec: TrialSpec, guess: float | None = None) -> str | None:
        """The time left of the study, in words; None if it is not known, or nothing is left."""
        if not self._trained.total + self._cuts.total or spec.stage not in _STAGES:
            return None
        now = time.monotonic()
        running = {identity: now - self._began[identity] for identity in self._tasks if self._numbers[identity] > 0}
        cut = [seconds for identity, seconds in running.items() if identity in self._cut and self._cuts.total]
        trained = [
            seconds for identity, seconds in running.items() if identity not in self._cut or not self._cuts.total
        ]
        cuts = Cuts(self._cuts.waiting(len(cut)), cut, self._cuts.ended)
        waiting, ended = self._trained.waiting(len(trained)), self._trained.ended
        left = self._countdown.left(spec.stage, waiting, trained, ended, guess, cuts)
        return f"{left.seconds()} left" if left is not None and left.most > 0 else None

    def _guess(self, spec: TrialSpec, progress: Message) -> float | None:
        """Seconds of the first trial, going by its first steps; its evaluation takes as long as the base's did."""
        if progress.phase != "train" or progress.done < _STEPS_TO_GO_BY:
            return None
        spent = time.monotonic() - self._began[spec.identity]
        return spent * progress.total / progress.done + self._base_seconds

    def _end_waiting(self) -> None:
        if self._waiting is not None:
            self._bars.remove_task(self._waiting)
            self._waiting = None


def outcome(result: TrialResult) -> str:
    """How a trial ended, in half a line."""
    if result.measures is None:
        return (
            f"{result.status.value}: {result.reason}" if result.status is not Status.COMPLETE else result.status.value
        )
    metric = "".join(f"  {name} {value:.3f}" for name, value in list(result.measures.metrics.items())[:1])
    kept = result.measures.energy_kept
    energy = f"  keeps {share_words(kept)}" if kept is not None else ""
    step = result.measures.kept_step if kept is None else None
    stopped = f"  weights of step {step}, stopped at {_last(result)}" if step is not None else ""
    return f"loss {result.measures.loss:.4f}{metric}{energy}{stopped}  in {show_seconds(result.seconds)}"


def _last(result: TrialResult) -> int:
    return result.history[-1].step if result.history else result.spec.training.steps
