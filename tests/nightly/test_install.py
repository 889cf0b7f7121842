"""What `schedule install` accepts, and every mistake that it reports at once; `list`, `status`, `logs` and `remove`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.schedule import schedule as command
from sweep.commands.scheduling.request import schedule_from
from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.nightly.kinds.kind import Place
from sweep.nightly.ledger import Ledger
from sweep.nightly.night import Night, Outcome
from sweep.nightly.schedule import Schedule
from sweep.nightly.schedules import load, save
from sweep.store.paths import Paths
from tests.nightly.made import moment, schedule

NOW = moment("2026-11-28 12:00")
HOURS = ("at=02:00", "deadline=06:30", "zone=Europe/Berlin", "kind=none")


MADE = ("study.name=pharma", "model=tiny", "task=jsonl", "task.path=made", "task.metric=exact_match")
"""A small study; the real one's data takes longer to read."""


@pytest.fixture
def folder(made_task: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made_task.parent)
    return made_task.parent


def wanted(folder: Path, *words: str) -> Schedule:
    return schedule_from(words, Paths.here(), Place(folder, "/usr/bin/python3", NOW))


def problems(folder: Path, *words: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        wanted(folder, *words)
    return list(caught.value.problems)


def test_words_become_a_schedule(folder: Path) -> None:
    (folder / "night.env").write_text("WEBHOOK=json://localhost/hook\n")
    made = wanted(folder, *MADE, *HOURS, "notify=env:WEBHOOK", "environment=night.env", "memory=2GB", "refresh=true")
    assert (made.name, made.study, made.words) == ("pharma", "pharma", MADE)
    assert (str(made.hours), made.kind, made.catch_up) == ("02:00 to 06:30 Europe/Berlin", "none", True)
    assert made.refresh
    assert (made.notify, made.environment, made.memory) == (("env:WEBHOOK",), "night.env", 2 * 10**9)
    assert (made.since, made.disk is not None) == (NOW, True)
    assert not (folder / "mlruns").exists()


def test_every_mistake_is_reported_at_once(folder: Path) -> None:
    found = problems(
        folder,
        "+study=pharmx",
        "serach.trials=3",
        "at=25:00",
        "deadline=6",
        "zone=Europe/Berln",
        "tz=UTC",
        "kind=cronn",
        "notify=slakc://x",
        "notify=env:NOT_THERE",
        "environment=missing.env",
        "memory=much",
        "catch_up=maybe",
        "since=yesterday",
        "--loud",
        "name=../up",
    )
    starts = {problem.partition(": ")[0] for problem in found}
    assert {
        *("at=25:00", "deadline=6", "zone=Europe/Berln", "tz=UTC", "kind=cronn", "memory=much", "catch_up=maybe"),
        *("since=yesterday", "--loud", "environment=missing.env", "+study=pharmx"),
    } <= starts
    text = "\n".join(found)
    for words in ("did you mean 'slack'", "NOT_THERE is not set", "did you mean 'pharma'", "write zone=UTC", "'../up'"):
        assert words in text, words
    assert len(found) == len(set(found)) >= 14


def test_a_key_that_is_nearly_one_of_install_is_suggested(folder: Path) -> None:
    found = problems(folder, *MADE, "att=02:00", "dedline=06:30", "notfy=env:X", "lora.rr=4", *HOURS)
    assert found == [
        "att=02:00: there is no key 'att'; did you mean 'at'?",
        "dedline=06:30: there is no key 'dedline'; did you mean 'deadline'?",
        "notfy=env:X: there is no key 'notfy'; did you mean 'notify'?",
        "lora.rr=4: there is no key 'lora.rr'; did you mean 'lora.r'?",
    ]


def test_what_the_machine_lacks_is_no_mistake_of_the_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setenv("PATH", "/nowhere")
    words = (*MADE, *HOURS[:3], "kind=cron", "notify=env:X")
    with pytest.raises(EnvironmentLacks) as caught:
        wanted(folder, *words)
    apprise, crontab = caught.value.problems
    assert "pip install 'goldilocks-lora[notify]'" in apprise
    assert crontab.startswith("kind=cron: this machine has no crontab")
    assert problems(folder, *words, "memory=much")[1:] == [apprise, crontab]
    # a machine that only looks does not need the scheduler
    assert command(["install", *MADE, *HOURS[:3], "kind=cron", "dry_run=true"]) == 0
    said = capsys.readouterr().out
    assert "# goldilocks schedule pharma in" in said
    assert f"This machine lacks something: {crontab}" in said
    assert not (folder / "mlruns").exists()


def test_missing_times_are_asked_for(folder: Path) -> None:
    assert [problem.partition(":")[0] for problem in problems(folder, *MADE, "kind=none")] == [
        "at",
        "deadline",
    ]
    (deadline,) = problems(folder, *MADE, "kind=none", "at=02:00")
    assert deadline.startswith("deadline: a time of day is needed")


def test_data_that_cannot_be_read_is_reported(folder: Path) -> None:
    found = problems(folder, "task=jsonl", "task.path=nowhere", "task.metric=accuracy", *HOURS[:3], "kind=github")
    assert any("nowhere" in problem for problem in found)


@pytest.mark.parametrize("kind", [("none",), ("github",), ("kubernetes", "image=x")])
@pytest.mark.parametrize("entry", ["env:NOT_THERE", "env:BROKEN", "file:not-there"])
def test_a_receiver_that_only_the_night_knows_is_no_reason_to_refuse(
    kind: tuple[str, ...], entry: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROKEN", "no address")
    words = (*MADE, *HOURS[:3], f"notify={entry}")
    assert wanted(folder, *words, f"kind={kind[0]}", *kind[1:]).notify == (entry,)
    assert capsys.readouterr().err.startswith(f"warning: notify: {entry}: ")
    assert problems(folder, *words, "kind=systemd")[0].startswith(f"notify: {entry}: ")
    assert "slakc" in "".join(problems(folder, *words, "notify=slakc://x", f"kind={kind[0]}", *kind[1:]))


def test_a_container_that_only_registers_does_not_need_what_sends_notes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert wanted(folder, *MADE, *HOURS, "notify=env:X").notify == ("env:X",)
    assert "warning: notify: Apprise is not installed" in capsys.readouterr().err


def test_a_schedule_that_is_only_registered_leaves_broken_data_to_its_nights(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "made/train.jsonl").write_text("{\n")
    assert wanted(folder, *MADE, *HOURS).study == "pharma"
    assert "warning: " in (said := capsys.readouterr().err)
    assert "train.jsonl:1" in said
    # what is wrong with the words is not the data's fault
    assert problems(folder, *MADE, *HOURS, "search.sampler=tpee")


def test_text_and_paths_that_look_like_addresses_are_stored(folder: Path) -> None:
    prompt = "task.system_prompt='write to a:b@c'"
    assert wanted(folder, *MADE, *HOURS, prompt).words == (*MADE, prompt)


def test_secrets_are_not_stored(folder: Path) -> None:
    secret = "hunter2hunter2"  # noqa: S105
    url = f"postgresql://me:{secret}@host/db"
    found = problems(folder, *MADE, f"storage.url={url}", *HOURS)
    assert any("environment=FILE" in problem for problem in found)
    assert secret not in "\n".join(found)
    assert any(
        "setup=" in problem for problem in problems(folder, *MADE, f"setup=fetch {url}", *HOURS[:3], "kind=github")
    )
    (folder / "night.env").write_text(f"STORE={url}\n")
    made = wanted(folder, *MADE, "storage.url=${oc.env:STORE}", "environment=night.env", *HOURS)
    save(Paths.here(), made)
    assert secret not in Paths.here().schedule("pharma").read_text()


def test_keys_of_another_kind_are_refused(folder: Path) -> None:
    (found,) = problems(folder, *MADE, "image=x", *HOURS)
    assert found == "image: is a key of kind=kubernetes, not of kind=none"


@pytest.mark.slow
def test_a_second_install_counts_nights_from_the_first(folder: Path) -> None:
    first = wanted(folder, *MADE, *HOURS)
    save(Paths.here(), replace(first, since=NOW - 86400))
    assert wanted(folder, *MADE, "train.steps=50", *HOURS).since == NOW - 86400
    assert wanted(folder, *MADE, "at=03:00", *HOURS[1:]).since == NOW
    assert wanted(folder, *MADE, "since=2026-11-01", *HOURS).since == moment("2026-11-01 00:00")


def test_it_is_shown_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["list"]) == 0
    assert "no schedule is installed here" in capsys.readouterr().out
    assert command(["install", *MADE, *HOURS, "dry_run=true"]) == 0
    assert "Nothing was written." in capsys.readouterr().out
    assert not (folder / "mlruns").exists()
    assert command(["install", *MADE, *HOURS]) == 0
    assert "every night 02:00 to 06:30 Europe/Berlin; the next one" in capsys.readouterr().out
    paths, now = Paths.here(), time.time()
    night = Night(
        "pharma",
        "pharma",
        "2026-11-28",
        now - 600,
        now,
        Outcome.FAILED,
        4,
        "no trial is complete",
        trained=3,
        seconds=600.0,
    )
    Ledger(paths.nights_database).record(night)
    log = paths.night_log("pharma", "2026-11-28")
    log.parent.mkdir(parents=True)
    log.write_text("what it printed\n")
    command(["list"])
    assert "2026-11-28 failed" in capsys.readouterr().out
    command(["status", "pharma"])
    assert "2026-11-28 failed, 10 min 0 s, 3 trials: no trial is complete" in capsys.readouterr().out
    command(["logs", "pharma", "date=2026-11-28"])
    assert capsys.readouterr().out == "what it printed\n"
    with pytest.raises(ConfigurationError, match="kept: 2026-11-28"):
        command(["logs", "pharma", "date=2026-11-27"])
    with pytest.raises(ConfigurationError, match="did you mean 'pharma'"):
        command(["status", "farma"])
    assert command(["remove", "pharma"]) == 0
    assert log.exists()
    with pytest.raises(ConfigurationError, match="none is installed here"):
        load(paths, "pharma")


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'install'"):
        command(["instal"])
    with pytest.raises(ConfigurationError, match="name one schedule"):
        command(["remove"])
    with pytest.raises(ConfigurationError, match="takes no other words"):
        command(["tick", "pharma"])


@pytest.mark.slow
def test_zones_and_midnight(folder: Path) -> None:
    across = wanted(folder, *MADE, "at=23:00", "deadline=06:00", "zone=UTC", "kind=none")
    assert across.hours.crosses_midnight
    (found,) = problems(folder, *MADE, "at=06:30", "deadline=02:00", "zone=UTC", "kind=none")
    assert found.startswith("deadline=02:00: is before the start (at=06:30)")


def test_the_schedule_of_the_tests_is_one() -> None:
    assert schedule().hours.length == 4.5 * 3600
