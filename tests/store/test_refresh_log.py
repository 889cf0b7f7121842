from __future__ import annotations

from pathlib import Path

from sweep.store.refresh_log import RefreshEvent, RefreshLog


def test_steps_are_read_as_written_and_a_half_written_line_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "s" / "refresh.jsonl"
    log = RefreshLog(file)
    assert (log.steps(), log.adapters, log.is_open) == ([], [], False)
    log.add(RefreshEvent.TRAINED, "data", "one", 3.5)
    log.add(RefreshEvent.TRAINED, "data", "one", 4.0)
    assert log.is_open
    with file.open("a") as stream:
        stream.write('{"created": "2026-01-01T00:00:00+00:00", "event": "trai')
    log.add(RefreshEvent.TRAINED, "data", "two", 1.0)
    log.add(RefreshEvent.PAUSED, "data")
    log.add(RefreshEvent.PAUSED, "data")
    assert log.is_open
    log.add(RefreshEvent.ENDED, "data")
    assert not log.is_open
    assert log.adapters == ["one", "two"]
    assert [(step.event.value, step.seconds) for step in log.steps()] == [
        ("trained", 3.5),
        ("trained", 1.0),
        ("paused", 0.0),
        ("ended", 0.0),
    ]
