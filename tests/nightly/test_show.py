"""`list` and `status`: what happened in words, what to do, and at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.commands.scheduling.show import listed, status
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.night import Outcome
from sweep.nightly.schedules import save
from tests.nightly.made import moment, schedule
from tests.nightly.made_nights import made_night, made_paths, recorded

HEAVY = """
import sys
import sweep.commands.schedule, sweep.commands.scheduling.show, sweep.nightly.installing
print(sorted({"numpy", "scipy", "torch", "mlflow", "optuna", "hydra", "omegaconf", "apprise", "rich"} & set(sys.modules)))
"""


def test_list_and_status_load_nothing_heavy() -> None:
    said = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_failure_that_repeats_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "")
    paths = made_paths(tmp_path)
    made = schedule(name="pharma", study="pharma", words=("+study=pharma", "a='b c'"), refresh=True, memory=2 * 10**9)
    save(paths, made)
    reason = "version 1 is damaged; take another one: `python -m sweep.champion study=pharma to=VERSION`"
    good = made_night(1, champion=ChampionNews(2, "worse", "train: 1 added", "promotion", "better"), trained=3)
    recorded(
        paths, good, *(made_night(day, Outcome.FAILED, exit_code=3, reason=reason, trained=0) for day in (2, 3, 4))
    )
    now = moment("2026-03-04 12:00")
    assert list(listed(paths, now))[1].endswith("2026-03-04 failed, 3 in a row since 2026-03-02")
    lines = list(status(made, paths, now))
    assert "  runs       python -m sweep.refresh +study=pharma 'a='\"'\"'b c'\"'\"''" in lines
    assert "  problem    failed for the 3rd night in a row since 2026-03-02, for the same reason" in lines
    assert "  to do      Do what the reason says: `python -m sweep.champion study=pharma to=VERSION`." in lines
    assert "  champion   version 2 is in use" in lines
    assert sum("version 1 is damaged" in line for line in lines) == 1
    assert sum(line.endswith("for the same reason as the night before") for line in lines) == 2
    first = next(line for line in lines if "2026-03-01" in line)
    assert first.endswith(
        "2026-03-01 done, 2 h 0 min, 3 trials: the champion is worse on the changed data (train: 1 added); promotion, "
        "version 2 is in use: better"
    )
