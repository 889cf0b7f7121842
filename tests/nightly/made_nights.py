"""Nights as they are recorded, with the verdict.json of a made-up study."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night, Outcome
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.verdict_json import verdict_json
from tests.conftest import certified_record

START = 1772330400.0  # 2026-03-01 02:00 UTC
DAY = 86400.0
HOUR = 3600.0


@cache
def _verdict() -> dict[str, Any]:
    record = certified_record(
        {2: 0.262, 4: 0.204, 8: 0.176}, base_loss=3.21, seeds=4, scores={0: 0.02, 8: 0.871}, final=(8, 8)
    )
    # a long search, beside which what would settle the verdict is in proportion
    record = replace(record, trials=record.trials * 200)
    return verdict_json(record, conclude(record), "2026-03-01T05:00:00+00:00")


def made_verdict(loss: float | None = None, **changed: Any) -> dict[str, Any]:
    """The verdict of a certified study at rank 8, with these keys changed.

    Args:
        loss: the loss on certify of the rank whose adapter is handed out.
    """
    verdict = copy.deepcopy(_verdict())
    if loss is not None:
        (row,) = (row for row in verdict["ladder"] if row["rank"] == verdict["hands_out"])
        row["loss"] = loss
    return verdict | changed


def made_night(
    day: int,
    outcome: Outcome = Outcome.DONE,
    verdict: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    **about: Any,
) -> Night:
    """The night of a day of March 2026 of the schedule and study `pharma`."""
    start = START + (day - 1) * DAY
    of_run = {"exit_code": 0, "trained": 12, "seconds": 2 * HOUR} if outcome.ran else {}
    values = {"schedule": "pharma", "study": "pharma", **of_run, **about}
    ended = start + values.get("seconds", 0.0)
    return Night(
        date=f"2026-03-{day:02}", started=start, ended=ended, outcome=outcome, verdict=verdict, before=before, **values
    )


def made_paths(folder: Path, *studies: str) -> Paths:
    """The paths of a folder in which these studies have a report."""
    paths = Paths(folder / "mlruns")
    for study in studies:
        paths.report(study).mkdir(parents=True)
        paths.page(study).write_text("the report")
    return paths


def recorded(paths: Paths, *nights: Night) -> Ledger:
    """The ledger with these nights."""
    ledger = Ledger(paths.nights_database)
    for night in nights:
        ledger.record(night)
    return ledger
