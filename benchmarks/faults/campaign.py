"""A campaign: which faults, in which order, one after the other or several at a time."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from benchmarks.faults.case import Outcome, inject
from benchmarks.faults.kind import Kind
from benchmarks.faults.reference import Reference

ROUND = 1000
"""Seeds of a campaign with seed S are S * ROUND, S * ROUND + 1, ..."""


def planned(kinds: Sequence[Kind], faults: int, seed: int) -> Iterator[tuple[Kind, int]]:
    """The faults of a campaign: all kinds in turn, in another random order each round."""
    random = Random(seed)  # noqa: S311 (no secret)
    number = 0
    while number < faults:
        for kind in random.sample(list(kinds), len(kinds)):
            if number == faults:
                return
            yield kind, seed * ROUND + number // len(kinds)
            number += 1


def run(
    faults: Sequence[tuple[Kind, int]],
    reference: Reference,
    scratch: Path,
    parallel: int,
    keep: Path | None,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Injects the faults.

    Args:
        keep: the folders of those that fail are kept here.
        report: called with each outcome.
    """

    def one(numbered: tuple[int, tuple[Kind, int]]) -> Outcome:
        number, (kind, seed) = numbered
        folder = scratch / f"case-{number}"
        outcome = inject(kind, seed, reference, folder)
        if outcome.violations and keep is not None:
            shutil.rmtree(keep / outcome.name, ignore_errors=True)
            shutil.copytree(folder, keep / outcome.name, symlinks=True, ignore_dangling_symlinks=True)
        shutil.rmtree(folder, ignore_errors=True)
        report(outcome)
        return outcome

    _hear_signals()
    assert reference.seconds  # before anything is disturbed, and alone on the machine
    with ThreadPoolExecutor(parallel) as threads:
        return list(threads.map(one, enumerate(faults)))


def _hear_signals() -> None:
    """A shell starts what is in the background, and `nohup` all, with signals ignored, which studies would inherit."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
