"""Nights with the real command on a tiny model."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults.processes import end_all, in_folder
from sweep.commands.schedule import schedule as install_command
from sweep.commands.scheduling.progress import progress_of
from sweep.commands.scheduling.running import run_nights
from sweep.nightly.clock import ShiftedClock
from sweep.nightly.kinds.kind import registration
from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Outcome
from sweep.nightly.open_nights import read
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, save
from sweep.nightly.studies import Progress
from sweep.nightly.tick_lock import running_tick
from sweep.records.champion import ChampionEvent
from sweep.store.champions import Champions
from sweep.store.paths import Paths
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from tests.commands.test_stored_study import COMMAND, STORED
from tests.faults.conftest import PATIENCE_SECONDS, Sweep
from tests.nightly.made import moment, schedule
from tests.store.test_champions import ROWS, adapter_in, entry

NIGHT = "2026-11-21 02:00"


@pytest.fixture
def installed(tmp_path: Path, made_task: Path) -> Iterator[Callable[..., Paths]]:
    """Installs a schedule of the tiny study in its folder."""
    words = Sweep(tmp_path, made_task).words("tracking.uri=memory://")[3:]

    def install(*more: str, **changes: object) -> Paths:
        paths = Paths.here()
        save(paths, schedule(**{"study": "faults", "words": (*words, *more), **changes}))  # type: ignore[arg-type]
        return paths

    with chdir(tmp_path):
        yield install
    end_all(in_folder(tmp_path))


@pytest.mark.slow
def test_the_record_of_a_finished_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    made: Schedule = schedule(study="stored", words=tuple(COMMAND))
    found = progress_of(made, Paths.here())
    assert found.finished
    assert found.trials is not None
    assert found.trials > 3
    nothing = progress_of(schedule(study="other", words=(*COMMAND[1:], "study.name=other")), Paths.here())
    assert nothing == Progress(0, None)
    # of data that change, the adapters that challengers trained count, too, and the champion's refresh decides
    paths, changing = Paths.here(), replace(made, refresh=True)
    assert progress_of(changing, paths) == found
    steps = RefreshLog(paths.refresh_log("stored"))
    steps.add(RefreshEvent.TRAINED, "data", "one")
    steps.add(RefreshEvent.TRAINED, "data", "two")
    assert progress_of(changing, paths) == replace(found, trials=found.trials + 2)
    first = entry(1, ChampionEvent.VERDICT)
    Champions(paths, "stored").append(first, adapter=adapter_in(tmp_path / "adapter"), rows=ROWS)
    assert progress_of(changing, paths).finished is False
    steps.add(RefreshEvent.ENDED, "data")
    assert progress_of(changing, paths).finished
    paths.champion_entry("stored", 1).joinpath("entry.json").write_text("{")
    assert progress_of(changing, paths) == Progress(None)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE study_user_attributes SET value_json = '{'",
        "UPDATE study_user_attributes SET value_json = '{}'",
        "UPDATE study_user_attributes SET value_json = '[1]'",
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE trial_user_attributes SET value_json = '{}'",
        None,
    ],
)
def test_progress_that_cannot_be_read_is_not_known(
    damage: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(STORED / "study.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copytree(STORED / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    if damage is None:
        Paths.here().optuna_database.write_bytes(b"garbage" * 1000)
    else:
        with closing(sqlite3.connect(Paths.here().optuna_database)) as database, database:
            database.execute(damage)
    assert progress_of(schedule(study="stored", words=tuple(COMMAND)), Paths.here()) == Progress(None)


@pytest.mark.slow
def test_a_study_is_run_at_night_and_has_its_note(installed: Callable[..., Paths]) -> None:
    paths = installed("search.trials=2")
    assert run_nights(paths, clock=ShiftedClock(moment(NIGHT))) == 0
    (night,) = Ledger(paths.nights_database).nights()
    assert (night.outcome, night.exit_code, night.trained) == (Outcome.DONE, 0, 2)
    assert night.verdict is not None
    assert night.before is None
    assert paths.night_note("made", "2026-11-21").is_file()
    assert "faults" in paths.night_log("made", "2026-11-21").read_text()
    # the next night finds nothing left to do
    assert run_nights(paths, clock=ShiftedClock(moment("2026-11-22 02:00"))) == 0
    last = Ledger(paths.nights_database).last("made")
    assert last is not None
    assert (last.date, last.outcome, last.trained) == ("2026-11-22", Outcome.DONE, 0)


@pytest.mark.slow
def test_a_night_in_a_container_begins_without_secrets_and_with_broken_data(
    tmp_path: Path, made_task: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words that a CronJob registers with, in a folder without `mlruns`, then the tick; with repaired data once more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBHOOK", raising=False)
    words = Sweep(tmp_path, made_task).words("tracking.uri=memory://", "search.trials=1")[3:]
    night = schedule(study="faults", words=tuple(words), kind="kubernetes", notify=("env:WEBHOOK",))
    rows, paths = (made_task / "train.jsonl").read_text(), Paths.here()
    (made_task / "train.jsonl").write_text("{\n")
    for date, code, outcome in (("2026-11-21", 2, Outcome.FAILED), ("2026-11-22", 0, Outcome.DONE)):
        assert install_command(registration(night)) == 0
        assert run_nights(paths, clock=ShiftedClock(moment(f"{date} 02:00"))) == code
        assert "env:WEBHOOK: the environment variable WEBHOOK is not set" in capsys.readouterr().out
        last = Ledger(paths.nights_database).last("made")
        assert last is not None
        assert (last.date, last.outcome, "train.jsonl:1" in last.reason) == (date, outcome, bool(code))
        note = paths.night_note("made", date).read_text()
        assert "WEBHOOK is not set" in note
        assert ("train.jsonl:1" in note) is bool(code)
        (made_task / "train.jsonl").write_text(rows)


_STUDY = """UPDATE study_user_attributes SET value_json = ?
WHERE study_id = (SELECT study_id FROM studies WHERE study_name LIKE 'first@%')"""
_TRIALS = """UPDATE trial_user_attributes SET value_json = ?
WHERE trial_id IN (SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name LIKE 'first@%')"""


def alter(paths: Paths, statement: str, value: str) -> None:
    with closing(sqlite3.connect(paths.optuna_database)) as connection, connection:
        assert connection.execute(statement, (value,)).rowcount


def damage_results(paths: Paths) -> None:
    """Of the trials with four steps, which are those of the first study."""
    damaged = [file for file in paths.root.glob("trials/*/*/result.json") if '"steps": 4' in file.read_text()]
    assert damaged
    for file in damaged:
        file.write_text("{}")


DAMAGE: Mapping[str, Callable[[Paths], object]] = {
    "record of study first@": lambda paths: alter(paths, _STUDY, "{"),
    "TypeError": lambda paths: alter(paths, _STUDY, "[1]"),
    "KeyError": lambda paths: alter(paths, _TRIALS, "{}"),
    "": lambda paths: (  # what the next run makes again
        damage_results(paths),
        paths.verdict("first").write_text("[" * 5000),
        paths.mlflow_database.write_bytes(b"garbage" * 1000),
        paths.champion_entry("first", 1).mkdir(parents=True),
    ),
}
"""What is done to the records of the first of two studies, by what its night then says is wrong; nothing where it goes on."""


@pytest.mark.slow
def test_a_study_whose_records_are_damaged_fails_alone(installed: Callable[..., Paths]) -> None:
    """Night after night the first of two studies is damaged in another way and the damage repaired; the last night is whole."""
    for name, *words in (("first", "train.steps=4", "tracking.uri=null"), ("second", "train.steps=3")):
        paths = installed(f"study.name={name}", "search.trials=1", *words, name=name, study=name)
    assert run_nights(paths, clock=ShiftedClock(moment(NIGHT))) == 0
    kept = shutil.copy(paths.optuna_database, "kept.db")
    for day, (said, damage) in enumerate([*DAMAGE.items(), ("", lambda _: None)], start=22):
        date = f"2026-11-{day}"
        damage(paths)
        assert run_nights(paths, clock=ShiftedClock(moment(f"{date} 02:00"))) == (
            (3 if "record" in said else 4) if said else 0
        )
        for name in ("first", "second"):
            last = Ledger(paths.nights_database).last(name)
            assert last is not None
            fails = bool(said) and name == "first"
            assert (last.date, last.outcome) == (date, Outcome.FAILED if fails else Outcome.DONE), last.reason
            assert not fails or said in last.reason
            assert last.reason[:50] in paths.night_note(name, date).read_text()
        shutil.copy(kept, paths.optuna_database)


@contextmanager
def begun(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `schedule`, which ends with the block."""
    command = [sys.executable, "-m", "sweep.schedule", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_trials(paths: Paths, more_than: int) -> int:
    wait_until(lambda: count_trials(paths) > more_than, "no trial ended")
    return count_trials(paths)


def count_trials(paths: Paths) -> int:
    return len(list(paths.root.glob("trials/*/*/result.json")))


def wait_until(happens: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def runs_study(paths: Paths, tick: subprocess.Popen[str]) -> bool:
    """Whether this tick holds the lock and has started its study."""
    holder = running_tick(paths.tick_lock)
    return holder is not None and holder.process == tick.pid and any(night.process for night in read(paths))


@pytest.mark.slow
def test_ticks_that_are_killed_and_stopped_lose_nothing(installed: Callable[..., Paths]) -> None:
    paths = installed("search.trials=20000")
    with begun("run-now", "made") as killed:
        wait_for_trials(paths, 0)
        first_study = read(paths)[0].process
        second = subprocess.run(
            [sys.executable, "-m", "sweep.schedule", "tick"], capture_output=True, text=True, check=False
        )
        assert (second.returncode, "running already" in second.stdout) == (0, True)
        killed.kill()
    with begun("run-now", "made") as tick:
        # the first one's study trains on until it is stopped
        wait_until(lambda: runs_study(paths, tick) and read(paths)[0].process != first_study, "no study was started")
        wait_for_trials(paths, count_trials(paths))
        tick.send_signal(signal.SIGTERM)
        said, _ = tick.communicate(timeout=PATIENCE_SECONDS)
    assert tick.returncode == 130, said
    assert "goes on; the tick before this one was killed" in said
    assert "stopped the study, which ran on" in said
    (night,) = Ledger(paths.nights_database).nights("made")
    assert night.outcome is Outcome.UNFINISHED
    assert night.trained == progress_of(load(paths, "made"), paths).trials >= 1
    assert running_tick(paths.tick_lock) is None


class WaitingClock:
    """A clock that advances only while a tick waits for its study, and then thirty times as fast as real time."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def wait(self, seconds: float) -> float:
        self._now += seconds
        return seconds / 30

    def sleep(self, seconds: float) -> None:
        time.sleep(self.wait(seconds))


@pytest.mark.slow
def test_a_study_is_stopped_at_its_deadline_and_goes_on(installed: Callable[..., Paths]) -> None:
    """Some trials fit into the night, and the rest is left to the next one."""
    paths = installed("search.trials=20000", hours=schedule("02:00", "02:10").hours)
    assert run_nights(paths, clock=WaitingClock(moment(NIGHT))) == 0
    (night,) = Ledger(paths.nights_database).nights("made")
    assert night.outcome is Outcome.UNFINISHED
    # a busy machine needs longer for the end than the second that it has here; then it is killed after 30 s, and loses nothing either.
    # Until the system has ended it the clock goes on, by 30 s in each real second
    was_killed = "SIGKILL" in night.reason
    assert night.ended <= moment("2026-11-21 02:10") + (90 if was_killed else 32)
    assert night.trained == progress_of(load(paths, "made"), paths).trials
