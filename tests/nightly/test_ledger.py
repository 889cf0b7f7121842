"""The ledger of nights: what is recorded is read again, once, whole, whoever was killed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import EnvironmentLacks
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.ledger import Ledger, _what_to_do
from sweep.nightly.night import Night, Outcome

NIGHT = Night(
    schedule="pharma",
    study="pharma",
    date="2026-03-01",
    started=1772330400.25,
    ended=1772341200.5,
    outcome=Outcome.DONE,
    exit_code=0,
    reason="the verdict is reached",
    verdict={"schema": 1, "status": "certified", "rank": 4, "created": "2026-03-01T05:00:00+00:00"},
    before={"schema": 1, "status": "undecided", "rank": None, "created": "2026-02-28T05:00:00+00:00"},
    trained=14,
    seconds=10800.25,
)

KILLED = """
import sys
from pathlib import Path
from sweep.nightly.ledger import Ledger, _what_to_do
from sweep.nightly.night import Night, Outcome
ledger = Ledger(Path(sys.argv[1]))
for number in range(100000):
    verdict = {"number": number, "text": "x" * 5000}
    ledger.record(Night("pharma", "pharma", f"{number:06}", number, number, Outcome.DONE, 0, "", verdict, None, number, 1.0))
    print(number, flush=True)
"""

FIRST_VERSION = """
CREATE TABLE verdicts (digest TEXT PRIMARY KEY, contents TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE nights (
    schedule TEXT NOT NULL, date TEXT NOT NULL, study TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    outcome TEXT NOT NULL, exit_code INTEGER, reason TEXT NOT NULL, verdict TEXT REFERENCES verdicts, before TEXT REFERENCES verdicts,
    trained INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (schedule, date, study)
) WITHOUT ROWID;
INSERT INTO nights VALUES ('a', '2026-03-01', 'a', 1, 2, 'done', 0, '', NULL, NULL, 3, 1);
PRAGMA user_version = 1;
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "nightly" / "nights.db")


def test_a_night_is_read_as_it_was_recorded(ledger: Ledger) -> None:
    assert ledger.nights() == []
    assert ledger.last("pharma") is None
    ledger.record(NIGHT)
    missed = Night("pharma", "pharma", "2026-03-02", 1.0, 1.0, Outcome.MISSED)
    ledger.record(missed)
    assert ledger.nights() == [NIGHT, missed]
    assert ledger.last("pharma") == missed
    assert not missed.outcome.ran


def test_a_later_record_of_the_same_night_replaces(ledger: Ledger) -> None:
    ledger.record(replace(NIGHT, outcome=Outcome.FAILED, exit_code=4, verdict=NIGHT.before))
    ledger.record(NIGHT)
    ledger.record(NIGHT)
    assert ledger.nights() == [NIGHT]


def test_nights_are_in_order_and_belong_to_their_schedule(ledger: Ledger) -> None:
    later = replace(NIGHT, date="2026-03-02", started=NIGHT.started + 86400)
    other = replace(NIGHT, schedule="code", study="code", started=NIGHT.started + 60)
    beside = replace(NIGHT, study="legal", started=NIGHT.started + 30)
    for night in (later, other, beside, NIGHT):
        ledger.record(night)
    assert ledger.nights() == [NIGHT, beside, other, later]
    assert ledger.nights("code") == [other]
    assert ledger.last("pharma") == later
    assert ledger.nights("nothing") == []


def test_a_verdict_is_stored_once_and_goes_with_its_last_night(ledger: Ledger, tmp_path: Path) -> None:
    for day in range(1, 6):
        ledger.record(replace(NIGHT, date=f"2026-03-{day:02}", before=NIGHT.verdict if day > 1 else None))
    file = tmp_path / "nightly" / "nights.db"
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM verdicts").fetchone() == (1,)
    for day in range(1, 6):
        ledger.record(replace(NIGHT, date=f"2026-03-{day:02}", verdict=None, before=None))
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM verdicts").fetchone() == (0,)


def test_a_killed_process_loses_no_recorded_night(tmp_path: Path) -> None:
    file = tmp_path / "nights.db"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 20:
            process.kill()
            break
    said = [line, *process.stdout]
    process.wait()
    process.stdout.close()
    last = int(said[-1])
    nights = Ledger(file).nights()
    # the one that was being written may be there too, whole
    assert [night.trained for night in nights] in (list(range(last + 1)), list(range(last + 2)))
    assert all(night.verdict == {"number": night.trained, "text": "x" * 5000} for night in nights)


def test_a_file_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    damaged, later = tmp_path / "damaged.db", tmp_path / "later.db"
    damaged.write_bytes(b"not a database, but long enough to be read as one " * 40)
    with pytest.raises(EnvironmentLacks, match=r"damaged\.db.*not a database.*moved aside"):
        Ledger(damaged).nights()
    with pytest.raises(EnvironmentLacks, match=r"damaged\.db"):
        Ledger(damaged).record(NIGHT)
    with closing(sqlite3.connect(later)) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(EnvironmentLacks, match=r"later\.db was written by a later version"):
        Ledger(later).nights()


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
def test_a_full_disk_is_not_called_a_damaged_file(words: str) -> None:
    assert _what_to_do(sqlite3.OperationalError(words)).startswith("free space")


def test_what_became_of_the_champion_is_read_as_it_was_recorded(ledger: Ledger) -> None:
    night = replace(NIGHT, champion=ChampionNews(2, "worse", "train: 1 added", "promotion", "better on the new ones"))
    ledger.record(night)
    assert ledger.nights() == [night]
    assert ledger.nights(verdicts=False)[0].champion == night.champion


def test_a_note_has_gone_to_those_alone_who_were_recorded(ledger: Ledger) -> None:
    assert ledger.told("pharma/2026-03-01/1") == set()
    for receiver in ("env:MAIL", "env:MAIL", "env:CHAT"):
        ledger.add_told("pharma/2026-03-01/1", receiver)
    ledger.record(NIGHT)
    assert ledger.told("pharma/2026-03-01/1") == {"env:MAIL", "env:CHAT"}
    assert ledger.told("pharma/2026-03-02/1") == set()


def test_a_file_of_the_first_version_is_read_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "nights.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(FIRST_VERSION)
    assert Ledger(file).nights() == [Night("a", "a", "2026-03-01", 1.0, 2.0, Outcome.DONE, 0, "", None, None, 3, 1.0)]
    assert Ledger(file).told("a/2026-03-01/1") == set()
    Ledger(file).record(replace(NIGHT, champion=ChampionNews(1)))
    assert [night.schedule for night in Ledger(file).nights()] == ["a", "pharma"]
