"""How busy the workers of a study were, from its records alone.

    python -m benchmarks.busy STUDY [--workers 2]

Run it in the folder where the study was run, in one go: the time between two runs counts as idle. A worker is busy while it has a
trial. Times are seconds since the first trial began; what came before (loading) and after (reports) is not in the records.

Records say which process ran a trial. Those of earlier versions do not: their trials are given to `--workers` workers as the pool
gives them, each to the one with the fewest. There, the seconds of cuts that were made together are also too short by a share of
the pass that serves them. A trial that was evaluated again counts from the start of its training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from sweep.records import Split, Stage, StudyRecord, TrialRecord
from sweep.search.reading import study_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths

STAGES = ("base", "explore", "base on certify", "rates", "certify", "confirm", "test")
SHORTEST_GAP = 2.0
"""Seconds; shorter gaps are not listed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time of one trial.

    Attributes:
        number: its order in the stage, in which trials were given to workers.
        worker: the process that ran it; None if not known.
        began, ended: seconds.
    """

    name: str
    stage: str
    number: int
    worker: int | None
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a worker had no trial.

    Attributes:
        meanwhile: the trials that other workers had.
    """

    worker: int
    began: float
    ended: float
    meanwhile: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """From the end of the stage before to the end of a stage.

    Attributes:
        busy: the share of the workers' time in which they had a trial.
    """

    stage: str
    began: float
    ended: float
    busy: float


def spans_of(record: StudyRecord) -> list[Span]:
    """The times of all trials in the order in which they began; the first begins at 0."""
    trials = sorted((trial for trial in record.all_trials() if trial.started > 0), key=lambda trial: trial.started)
    return [
        Span(
            trial.name,
            _stage(trial),
            trial.number,
            trial.provenance.process if trial.provenance else None,
            trial.started - trials[0].started,
            trial.started - trials[0].started + trial.seconds,
        )
        for trial in trials
    ]


def by_worker(spans: Sequence[Span], workers: int) -> list[list[Span]]:
    """The trials of each worker. A process that replaced another continues its worker.

    Args:
        workers: used where a trial does not say which process ran it.
    """
    if any(span.worker is None for span in spans):
        return _given_as_by_the_pool(spans, workers)
    processes: dict[int | None, list[Span]] = {}
    for span in spans:
        processes.setdefault(span.worker, []).append(span)
    places: list[list[Span]] = []
    for own in processes.values():
        free = [place for place in places if max(span.ended for span in place) <= own[0].began]
        if free and len(places) >= workers:
            free[0].extend(own)
        else:
            places.append(list(own))
    return places


def gaps_of(places: Sequence[Sequence[Span]], shortest: float = SHORTEST_GAP) -> list[Gap]:
    """The gaps of at least `shortest` seconds of all workers between the first and the last trial of the study."""
    end = max(span.ended for place in places for span in place)
    gaps = []
    for worker, place in enumerate(places):
        reached = 0.0
        for began, ended in [*_union(place), (end, end)]:
            if began - reached >= shortest:
                others = [span for other in places if other is not place for span in other]
                running = tuple(span.name for span in others if span.began < began and span.ended > reached)
                gaps.append(Gap(worker + 1, reached, began, running))
            reached = max(reached, ended)
    return sorted(gaps, key=lambda gap: gap.began)


def windows_of(places: Sequence[Sequence[Span]]) -> list[Window]:
    """The windows of all stages in order, and one of the whole study. A stage that ran beside an earlier one has none."""
    last = {
        stage: max((span.ended for place in places for span in place if span.stage == stage), default=0.0)
        for stage in STAGES
    }
    windows, reached = [], 0.0
    for stage, ended in last.items():
        if ended > reached:
            windows.append(Window(stage, reached, ended, _busy(places, reached, ended)))
            reached = ended
    return [*windows, Window("whole study", 0.0, reached, _busy(places, 0.0, reached))]


def _stage(trial: TrialRecord) -> str:
    if trial.spec.split is Split.TEST:
        return "test"
    if trial.spec.stage is Stage.BASE and trial.spec.split is Split.CERTIFY:
        return "base on certify"
    return trial.spec.stage.value


def _given_as_by_the_pool(spans: Sequence[Span], workers: int) -> list[list[Span]]:
    places: list[list[Span]] = [[] for _ in range(workers)]
    for span in sorted(spans, key=lambda span: (STAGES.index(span.stage), span.number)):
        loads = [sum(other.ended > span.began for other in place) for place in places]
        place = loads.index(min(loads))
        places[place].append(replace(span, worker=place))
    return places


def _union(place: Iterable[Span]) -> list[tuple[float, float]]:
    """The times in which a worker had at least one trial."""
    times: list[tuple[float, float]] = []
    for span in sorted(place, key=lambda span: span.began):
        if times and span.began <= times[-1][1]:
            times[-1] = (times[-1][0], max(times[-1][1], span.ended))
        else:
            times.append((span.began, span.ended))
    return times


def _busy(places: Sequence[Sequence[Span]], began: float, ended: float) -> float:
    seconds = sum(max(0.0, min(until, ended) - max(since, began)) for place in places for since, until in _union(place))
    return seconds / (len(places) * (ended - began))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--workers", type=int, default=2, help="number of workers, at least (2)")
    arguments = parser.parse_args()
    with existing_storage(None, Paths.here()) as storage:
        record = study_of(storage, arguments.study)
    spans = spans_of(record)
    if not spans:
        parser.error(f"study {arguments.study} has no trial yet")
    places = by_worker(spans, arguments.workers)
    known = all(span.worker is not None for span in spans)
    console = Console(width=130)
    console.print(
        f"{record.name}: {len(places)} workers" + ("" if known else ", derived: the records do not name them")
    )
    table = Table("stage", "from", "to", "seconds", "busy")
    for window in windows_of(places):
        seconds = window.ended - window.began
        cells = (f"{window.began:.1f}", f"{window.ended:.1f}", f"{seconds:.1f}", f"{window.busy:.1%}")
        table.add_row(window.stage, *cells)
    console.print(table)
    idle = Table("worker", "idle from", "to", "seconds", "meanwhile")
    for gap in gaps_of(places):
        cells = (f"{gap.began:.1f}", f"{gap.ended:.1f}", f"{gap.ended - gap.began:.1f}")
        idle.add_row(str(gap.worker), *cells, ", ".join(gap.meanwhile))
    console.print(idle)


if __name__ == "__main__":
    main()
