"""The undisturbed study: what every disturbed one is compared with, and where those begin that do not begin from nothing."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock

from benchmarks.faults.call import LIMIT_SECONDS, Call
from benchmarks.faults.kind import EMPTY, FRESH, HALF, WHOLE
from benchmarks.faults.moments import timeline_of
from benchmarks.faults.processes import waited
from benchmarks.faults.state import State, state_of
from benchmarks.faults.study import DATA, WORDS, copy, lay_out, make_data, make_empty_store

_HALFWAY = "certify 3 of"


class Reference:
    """Made once, when it is needed first, in a folder of the campaign.

    Raises:
        SystemExit: the study does not run even where nothing is disturbed.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = RLock()

    def begin(self, start: str, folder: Path) -> None:
        """Lays out a folder as it is before the fault."""
        if start == EMPTY:
            make_data(folder / DATA)
        elif start == FRESH:
            with self._lock:
                store = self._store
            lay_out(folder, store)
        else:
            with self._lock:
                source = self._whole if start == WHOLE else self._half
            copy(source, folder)

    def timeline(self, start: str) -> Sequence[float]:
        """When each line of progress was printed, see `timeline_of`, by a call that began so."""
        with self._lock:
            return self._resumed if start == HALF else self._timeline

    @property
    def seconds(self) -> float:
        """What the whole study takes."""
        with self._lock:
            return self._timeline[-1]

    @property
    def state(self) -> State:
        """What the study leaves."""
        with self._lock:
            return self._state

    @cached_property
    def _store(self) -> Path:
        folder = self._scratch / "store"
        folder.mkdir()
        make_empty_store(folder / "mlflow.db")
        return folder / "mlflow.db"

    @cached_property
    def _timeline(self) -> list[float]:
        folder = self._scratch / "whole"
        lay_out(folder, self._store)
        call = Call(WORDS, folder, self._scratch / "whole-call", frozenset({0}))
        timeline = timeline_of(call)
        _expect(call, 0)
        return timeline

    @cached_property
    def _whole(self) -> Path:
        assert self._timeline
        return self._scratch / "whole"

    @cached_property
    def _state(self) -> State:
        state = state_of(self._whole)
        if state.unreadable or state.decided is None:
            raise SystemExit(f"the undisturbed study cannot be read: {'; '.join(state.unreadable)}")
        return state

    @cached_property
    def _half(self) -> Path:
        folder = self._scratch / "half"
        lay_out(folder, self._store)
        notes = self._scratch / "half-call"
        call = Call(WORDS, folder, notes, frozenset({130}))
        waited(lambda: _HALFWAY in notes.with_suffix(".out").read_text(), LIMIT_SECONDS, call.is_over)
        call.send(signal.SIGTERM)
        _expect(call, 130)
        return folder

    @cached_property
    def _resumed(self) -> list[float]:
        folder = self._scratch / "resumed"
        copy(self._half, folder)
        call = Call(WORDS, folder, self._scratch / "resumed-call", frozenset({0}))
        timeline = timeline_of(call)
        _expect(call, 0)
        return timeline


def _expect(call: Call, code: int) -> None:
    ended = call.end()
    if ended.code != code:
        raise SystemExit(f"the undisturbed study ended with {ended.code}:\n{ended.output[-3000:]}")
