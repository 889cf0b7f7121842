"""Which points of the grid are left, for `sampler=grid`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from sweep.search.ledger import was_interrupted
from sweep.search.space import Values


class Grid:
    """The grid's points in their order, and which of them were tried, are being tried or wait.

    Args:
        trials: those of the study.
    """

    def __init__(self, points: Sequence[Values], trials: Iterable[FrozenTrial]) -> None:
        self._points = [(_key(point), point) for point in points]
        self._visited = {
            _key(trial.params or trial.system_attrs.get("fixed_params", {}))
            for trial in trials
            if not was_interrupted(trial)
        }

    def unvisited(self) -> list[Values]:
        """The points that are left."""
        return [point for key, point in self._points if key not in self._visited]

    def visit(self, values: Mapping[str, Any]) -> None:
        """A trial with these values was begun."""
        self._visited.add(_key(values))


def _key(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())
