"""The orchestrator with a worker that answers at once: the benchmark goes through what a sweep goes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.orchestration import measure

TRIALS = 5
"""More than the arms that are tried first, which no sampler is asked for."""


@pytest.mark.slow
def test_every_trial_is_timed_with_its_parts(tmp_path: Path) -> None:
    measured = measure(TRIALS, tmp_path)
    assert (measured["trials"], measured["last"]["trials"]) == (TRIALS, 1)
    for part in ("sampler", "Optuna database", "MLflow", "worker"):
        assert measured["whole"]["parts_ms"][part] > 0
    assert sum(measured["whole"]["parts_ms"].values()) <= measured["whole"]["ms"] * 1.01
    assert measured["whole"]["cpu_ms"] > 0
