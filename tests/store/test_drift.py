from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from sweep.store.drift import DriftLog, DriftPoint

POINT = DriftPoint(
    created="2026-01-02T02:00:00+00:00",
    version=1,
    data_hash="ab",
    change="train: 1 added",
    condition="worse",
    retained=0.8,
    old=0.5,
    new=1.25,
    base_old=3.0,
    base_new=math.nan,
    units=(40, 12),
)


def test_points_read_back_and_a_night_is_recorded_once(tmp_path: Path) -> None:
    log = DriftLog(tmp_path / "s" / "drift.jsonl")
    assert log.points() == []
    later = replace(POINT, data_hash="cd")
    for point in (POINT, POINT, later):
        log.add(point)
    first, second = log.points()
    assert replace(first, base_new=0.0) == replace(POINT, base_new=0.0)
    assert math.isnan(first.base_new)
    assert second.data_hash == "cd"
    assert log.find(2, "ab") is None


def test_a_half_written_line_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "drift.jsonl"
    log = DriftLog(file)
    log.add(POINT)
    whole = file.read_text()
    for length in range(len(whole)):
        file.write_text(whole[:length])
        log.add(POINT)
        assert [point.data_hash for point in log.points()] == ["ab"], length
