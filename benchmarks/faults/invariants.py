"""What must hold after a fault, whatever it was. Each invariant is a pure function from evidence to what is wrong."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.call import Ended
from benchmarks.faults.state import Finished, State

TOLERANCE = 1e-6
"""Largest allowed difference from the undisturbed loss, in nats per token."""

_TRACES = ("Traceback (most recent call last)", "Exception ignored in", "Error executing job with overrides")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one fault.

    Attributes:
        calls: every call, in order; the later ones were made to go on after the fault.
        disturbed: how many of them, from the first on, the fault was about.
        state: what the folder holds in the end.
        undisturbed: what it holds where nothing was disturbed.
        kept: what was finished at some time before the end.
        damaged: the identities of what was damaged on purpose.
        left_running: processes that still run in the folder, some time after the last call ended.
        outside: files that were written where none belongs.
        same_end: whether the study must end as the undisturbed one.
        goes_on: whether the study must finish.
        trains_more: whether another study may have been trained on the way.
    """

    calls: Sequence[Ended]
    disturbed: int
    state: State
    undisturbed: State
    kept: Sequence[Finished] = ()
    damaged: frozenset[str] = frozenset()
    left_running: Sequence[str] = ()
    outside: Sequence[str] = ()
    same_end: bool = True
    goes_on: bool = True
    trains_more: bool = False


def violations(evidence: Evidence) -> list[str]:
    """What is wrong, each with the name of its invariant in front; nothing if all hold."""
    return [f"{name}: {text}" for name, check in INVARIANTS.items() for text in check(evidence)]


def once(evidence: Evidence) -> Iterator[str]:
    """Every trial is complete once, and there is none too many or too few."""
    complete = [trial for trial in evidence.state.trials if trial.status == "complete"]
    counts = Counter(trial.question for trial in complete)
    for question, count in counts.items():
        if count > 1:
            yield f"{_named(question)} is complete {count} times"
    if not evidence.same_end:
        return
    expected = {trial.question for trial in evidence.undisturbed.trials if trial.status == "complete"}
    for question in sorted(expected - set(counts)):
        yield f"{_named(question)} is missing"
    for question in sorted(set(counts) - expected):
        yield f"{_named(question)} is not part of the undisturbed study"
    for trial in evidence.state.trials:
        if trial.status not in ("complete", "interrupted"):
            yield f"{_named(trial.question)} is recorded as {trial.status}"


def losses(evidence: Evidence) -> Iterator[str]:
    """The losses are those of the undisturbed study, on its data."""
    if not evidence.same_end:
        return
    expected = {trial.question: trial.loss for trial in evidence.undisturbed.trials}
    data = {trial.data for trial in evidence.undisturbed.trials}
    for trial in evidence.state.trials:
        if trial.status != "complete" or trial.question not in expected:
            continue
        if not _alike(trial.loss, expected[trial.question]):
            yield f"{_named(trial.question)} has a loss of {trial.loss!r}, undisturbed {expected[trial.question]!r}"
        if trial.data not in data:
            yield f"{_named(trial.question)} was trained or scored on other data ({trial.data[:10]})"


def verdict(evidence: Evidence) -> Iterator[str]:
    """The verdict is that of the undisturbed study."""
    if not evidence.same_end:
        return
    actual, expected = evidence.state.decided, evidence.undisturbed.decided
    if actual is None:
        yield "there is no verdict"
    elif expected is not None:
        yield from _differences(actual, expected, "")


def kept(evidence: Evidence) -> Iterator[str]:
    """What was finished is neither lost nor made again."""
    end = evidence.state.finished
    reported = set()
    for earlier in (finished.without(evidence.damaged) for finished in evidence.kept):
        for what, before, after in (
            ("result", earlier.results, end.results),
            ("adapter", earlier.adapters, end.adapters),
        ):
            for identity, time in before.items():
                if after.get(identity) == time or (what, identity) in reported:
                    continue
                reported.add((what, identity))
                yield f"the finished {what} {identity[:10]} was {'made again' if identity in after else 'lost'}"


def trainings(evidence: Evidence) -> Iterator[str]:
    """The adapters are those of the undisturbed study, by identity."""
    if not evidence.same_end:
        return
    actual, expected = set(evidence.state.finished.adapters), set(evidence.undisturbed.finished.adapters)
    # one that was damaged is made again where it is needed, and a study that is done needs none
    for identity in sorted(expected - actual - evidence.damaged):
        yield f"the adapter {identity[:10]} is missing"
    for identity in sorted(actual - expected) if not evidence.trains_more else ():
        yield f"the adapter {identity[:10]} is none of the undisturbed study's {len(expected)}"


def running(evidence: Evidence) -> Iterator[str]:
    """Nothing is said to be running."""
    for name in evidence.state.running_runs:
        yield f"MLflow's run {name} is RUNNING"
    if evidence.state.running_trials:
        yield f"{evidence.state.running_trials} of Optuna's trials are RUNNING"


def orphans(evidence: Evidence) -> Iterator[str]:
    """No process is left."""
    for name in evidence.left_running:
        yield f"{name} still runs"


def readable(evidence: Evidence) -> Iterator[str]:
    """All records can be read."""
    if evidence.goes_on:
        yield from evidence.state.unreadable


def traceback(evidence: Evidence) -> Iterator[str]:
    """Nobody is shown a traceback."""
    for number, call in enumerate(evidence.calls, 1):
        for trace in _TRACES:
            if trace in call.output:
                last = [line for line in call.output.splitlines() if line.strip()][-1]
                yield f"call {number} shows '{trace}', and ends: {last[:200]}"
                break


def exit_code(evidence: Evidence) -> Iterator[str]:
    """Each call ends with a code that is documented for what happened to it, and says why where it is not 0."""
    for number, call in enumerate(evidence.calls, 1):
        if not call.in_time:
            continue
        if call.code not in call.expected:
            documented = ", ".join(map(str, sorted(call.expected)))
            yield f"call {number} ended with {call.code} (documented: {documented}): {_last_line(call)}"
        if call.silent:
            continue
        if call.code > 0 and not call.output.strip():
            yield f"call {number} ended with {call.code} without a word"


def words(evidence: Evidence) -> Iterator[str]:
    """What happened is said."""
    for number, call in enumerate(evidence.calls, 1):
        for pattern in (call.says if call.code > 0 else None, call.always_says):
            if pattern and not call.silent and not re.search(pattern, " ".join(call.output.split())):
                yield f"call {number} does not say '{pattern}': {_last_line(call)}"


def in_time(evidence: Evidence) -> Iterator[str]:
    """Each call ends."""
    for number, call in enumerate(evidence.calls, 1):
        if not call.in_time:
            yield f"call {number} did not end within {call.seconds:.0f} s; its last words: {_last_line(call)}"


def done(evidence: Evidence) -> Iterator[str]:
    """The same command finishes the study."""
    later = evidence.calls[evidence.disturbed :]
    if evidence.goes_on and not any(call.code == 0 for call in later):
        yield f"it was not done after {len(later)} more calls"


def outside(evidence: Evidence) -> Iterator[str]:
    """Nothing is written where nothing belongs."""
    for name in evidence.outside:
        yield f"{name} was written"


INVARIANTS: Mapping[str, Callable[[Evidence], Iterator[str]]] = {
    "exit code": exit_code,
    "in time": in_time,
    "no traceback": traceback,
    "words": words,
    "done": done,
    "readable": readable,
    "every trial once": once,
    "losses": losses,
    "verdict": verdict,
    "finished is kept": kept,
    "trainings": trainings,
    "nothing running": running,
    "no orphans": orphans,
    "nothing outside": outside,
}


def _differences(actual: Any, expected: Any, where: str) -> Iterator[str]:
    if isinstance(actual, dict) and isinstance(expected, dict):
        for key in sorted({*actual, *expected}):
            yield from _differences(actual.get(key), expected.get(key), f"{where}.{key}" if where else key)
    elif isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        for number, (one, other) in enumerate(zip(actual, expected, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif isinstance(actual, float) and isinstance(expected, float):
        if not _alike(actual, expected):
            yield f"{where} is {actual!r}, undisturbed {expected!r}"
    elif actual != expected:
        yield f"{where} is {actual!r}, undisturbed {expected!r}"


def _alike(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE


def _named(question: tuple[str, str, int, str, int]) -> str:
    stage, split, rank, rate, seed = question
    return f"{stage} on {split}, rank {rank}{f', rate {rate}' if rate else ''}, seed {seed}"


def _last_line(call: Ended) -> str:
    lines = [line.strip() for line in call.output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "(nothing)"
