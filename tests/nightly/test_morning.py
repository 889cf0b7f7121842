"""The morning note: what it says for each outcome, that it is there whatever else fails, and that no secret is in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.nightly.asking import Reply
from sweep.nightly.champion_news import ChampionNews
from sweep.nightly.morning import after
from sweep.nightly.night import Night, Outcome
from sweep.nightly.note import note_id
from sweep.nightly.standing import changes, standing
from sweep.store.paths import Paths
from tests.nightly.made_nights import HOUR, made_night, made_paths, made_verdict, recorded
from tests.nightly.services import web_server

PLANTED = "planted-4711-secret"


def note_of(paths: Paths, *nights: Night) -> str:
    """The note on the last of these nights, after all have been recorded."""
    ledger = recorded(paths, *nights)
    assert after(nights[-1], ledger, paths) == ""
    return paths.night_note(nights[-1].schedule, nights[-1].date).read_text()


def section(note: str, heading: str) -> str:
    return note.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_note_has_the_verdicts_own_words_and_what_changed(tmp_path: Path) -> None:
    before = made_verdict(0.19, rank=4, status="provisional")
    now = made_verdict(0.176, data_hash="b" * 64)
    note = note_of(
        made_paths(tmp_path, "pharma"), made_night(1, verdict=before), made_night(2, verdict=now, before=before)
    )
    assert note.startswith("# pharma, night of 2026-03-02: done; certified, rank 8\n")
    assert now["headline"] in note
    assert all(f"- {reason}" in note for reason in now["reasons"])
    changed = section(note, "Change since last night")
    assert re.search(r"The data changed \(hash b{10}, before datahash\)", changed)
    assert "Certified, before provisional." in changed
    assert "Chosen is rank 8, before rank 4." in changed
    assert "Loss on certify 0.1760, before 0.1900 (-0.0140)." in changed
    assert "This night: 2 h 0 min, 12 trials." in section(note, "Cost")
    assert "All 2 nights since 2026-03-01: 4 h 0 min, 24 trials." in section(note, "Cost")
    assert now["settle"]["command"].split(" ", 3)[3] in section(note, "What to do")


def test_a_night_that_changed_nothing_says_so(tmp_path: Path) -> None:
    verdict = made_verdict()
    night = made_night(1, verdict=verdict, before={**verdict, "created": "2026-02-28T05:00:00+00:00"}, trained=0)
    note = note_of(made_paths(tmp_path), night)
    assert section(note, "Change since last night").strip() == "- None."
    assert "Done: nothing was left to train." in note
    assert "## What failed" not in note


def test_the_note_says_what_became_of_the_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = made_paths(tmp_path)
    asked: list[object] = []
    paths.mlflow_database.parent.mkdir(parents=True, exist_ok=True)
    paths.mlflow_database.touch()

    def ask(module: str, job: dict[str, object], seconds: float) -> Reply:
        asked.append(job["study"])
        return Reply(lines=(None,))

    monkeypatch.setattr("sweep.nightly.mlflow_note.ask", ask)
    news = ChampionNews(2, "worse", "train: 1 added", "promotion", "better on the new examples")
    note = note_of(paths, made_night(1, verdict=made_verdict(), trained=0, champion=news))
    assert note.startswith("# pharma, night of 2026-03-01: done; promotion, version 2 is in use; certified, rank 8\n")
    assert section(note, "The champion").strip().splitlines() == [
        "- It is worse on the changed data (train: 1 added).",
        "- A challenger was promoted: better on the new examples.",
        "- Version 2 is in use.",
    ]
    assert "Done: the study ran to its end." in section(note, "What ran")
    assert asked == ["pharma"], "a refresh has a run in MLflow"
    open_end = replace(news, event="", reason="", version=1)
    note = note_of(paths, made_night(2, Outcome.UNFINISHED, trained=2, champion=open_end))
    assert "- Nothing has been decided yet.\n- Version 1 is in use." in section(note, "The champion")
    assert "Trials completed in this night: 2." in note
    note = note_of(paths, made_night(3, trained=0, champion=ChampionNews(1)))
    assert "- There was nothing new to decide.\n- Version 1 is in use." in section(note, "The champion")
    assert "Done: nothing was left to train." in note


def test_links_lead_somewhere_from_both_places(tmp_path: Path) -> None:
    paths = made_paths(tmp_path, "pharma")
    night = made_night(1, verdict=made_verdict())
    paths.verdict("pharma").write_text(json.dumps(night.verdict))
    log = paths.night_log("pharma", night.date)
    log.parent.mkdir(parents=True)
    log.write_text("the log")
    note_of(paths, night)
    for file in (paths.night_note("pharma", night.date), paths.morning_note("pharma")):
        targets = re.findall(r"\]\(([^)]*)\)", file.read_text())
        assert len(targets) == 4
        assert all((file.parent / target).is_file() for target in targets)


@pytest.mark.parametrize(
    ("night", "said"),
    [
        (
            made_night(3, Outcome.FAILED, exit_code=4, reason="no trial is\n  complete"),
            "- no trial is complete\n- Its exit code is 4.",
        ),
        (
            made_night(3, Outcome.FAILED, exit_code=2),
            "`python -m sweep.schedule status pharma` shows them, and installing it again",
        ),
        (made_night(3, Outcome.FAILED, exit_code=3), "`python -m sweep.doctor` examines the rest"),
        (made_night(3, Outcome.FAILED, exit_code=None), "Its process was killed."),
        (made_night(3, Outcome.FAILED, exit_code=1), "Read the end of the log."),
        (made_night(3, Outcome.FAILED, exit_code=2, seconds=0.0), "The study could not be started."),
        (
            made_night(3, Outcome.FAILED, exit_code=3, reason="raise the limit (`ulimit -v`) or `kill 4711`"),
            "This machine lacks something",
        ),
        (
            made_night(3, Outcome.FAILED, exit_code=None, reason="signal 9: compare with `python -m sweep.ui`"),
            "set budget.memory",
        ),
        (
            made_night(3, Outcome.FAILED, exit_code=3, reason="run `python -m sweep.doctor --repair` first"),
            "Do what the reason says: `python -m sweep.doctor --repair`",
        ),
        (
            made_night(3, Outcome.SKIPPED, reason="1.2 GB are free, 3 GB are needed"),
            "- 1.2 GB are free, 3 GB are needed",
        ),
        (made_night(3, Outcome.MISSED, reason="the machine was off"), "Leave the machine on at the planned time"),
        (made_night(3, Outcome.UNFINISHED, exit_code=130), "the next night continues there"),
    ],
)
def test_what_failed_and_what_to_do(night: Night, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "")  # commands to copy start with `python`
    assert said in note_of(made_paths(tmp_path), night)


def test_nights_without_a_result_are_counted(tmp_path: Path) -> None:
    nights = [
        made_night(1, Outcome.FAILED, exit_code=4),
        made_night(2, verdict=made_verdict()),
        made_night(3, Outcome.MISSED),
        made_night(4, Outcome.SKIPPED),
        made_night(5, Outcome.FAILED, exit_code=4, study="legal"),
        made_night(6, Outcome.FAILED, exit_code=4, verdict=made_verdict(), before=made_verdict()),
    ]
    note = note_of(made_paths(tmp_path), *nights)
    assert note.startswith("# pharma, night of 2026-03-06: failed; still certified, rank 8\n")
    assert "This is night 3 in a row without a result" in note


def test_a_failure_that_repeats_says_since_when_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "")
    reason = (
        "the study ended with exit code 3: mlruns/champions/pharma/0001: version 1 of the champion is damaged (4{day} bytes); take "
        "another version into use: `python -m sweep.champion study=pharma to=VERSION`"
    )
    nights = [
        made_night(1, Outcome.FAILED, exit_code=4, reason="no trial is complete"),
        *(made_night(day, Outcome.FAILED, exit_code=3, reason=reason.format(day=day)) for day in (2, 3)),
        made_night(4, Outcome.MISSED),
        made_night(5, Outcome.FAILED, exit_code=3, reason=reason.format(day=5)),
    ]
    note = note_of(made_paths(tmp_path), *nights)
    failed = section(note, "What failed")
    assert "- It failed for the 3rd night in a row since 2026-03-02, for the same reason." in failed
    assert "This is night 5 in a row without a result" in failed
    to_do = section(note, "What to do")
    assert "- Do what the reason says: `python -m sweep.champion study=pharma to=VERSION`." in to_do
    assert "`python -m sweep.schedule run-now pharma`" in to_do
    assert "Until it is corrected, every night will end like this one." in to_do


def test_failed_trials_of_the_night_are_named(tmp_path: Path) -> None:
    before, now = made_verdict(), made_verdict()
    now["trials"] = {**now["trials"], "failed": before["trials"]["failed"] + 2}
    note = note_of(made_paths(tmp_path), made_night(1, verdict=now, before=before))
    assert "2 trials failed; the report lists the reasons." in section(note, "What failed")


def test_messages_are_sent_and_no_secret_is_written_or_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = made_paths(tmp_path, "pharma")
    failed = made_night(1, Outcome.FAILED, exit_code=3, reason=f"storage.url: postgresql://me:{PLANTED}@db/x is away")
    with web_server() as (port, posts):
        monkeypatch.setenv(
            "HOOKS", f"json://me:{PLANTED}@127.0.0.1:{port}/\njson://me:{PLANTED}@127.0.0.1:{port}/refused"
        )
        trouble = after(failed, recorded(paths, failed), paths, ["env:HOOKS", "env:MISSING"])
    assert len(posts) == 2
    assert posts[0][1]["title"] == "pharma, night of 2026-03-01: failed"
    assert "postgresql://***@db/x is away" in posts[0][1]["message"]
    first, second = trouble.splitlines()
    assert first.startswith("the morning note was not sent to env:HOOKS, line 2 (JSON): ")
    assert second == "the morning note was not sent to notify: env:MISSING: the environment variable MISSING is not set"
    messages = section(paths.night_note("pharma", failed.date).read_text(), "Messages")
    assert "- env:HOOKS, line 1 (JSON): sent\n- env:HOOKS, line 2 (JSON): not sent: " in messages
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 4
    for text in [trouble, *capfd.readouterr(), *(post[1]["message"] for post in posts)]:
        assert PLANTED not in text
    assert not [file.name for file in files if PLANTED.encode() in file.read_bytes()]


def test_a_note_is_sent_again_to_those_alone_who_do_not_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that is killed before the night is off its list writes the note once more."""
    paths = made_paths(tmp_path)
    night, hooks = made_night(1, verdict=made_verdict()), tmp_path / "hooks"
    ledger = recorded(paths, night)
    with web_server() as (port, posts):
        hooks.write_text(f"json://127.0.0.1:{port}/one\njson://127.0.0.1:{port}/refused\n")
        hooks.chmod(0o600)
        first = after(night, ledger, paths, [f"file:{hooks}"])
        again = after(night, ledger, paths, [f"file:{hooks}"])
    assert first == again
    assert "was not sent" in first
    assert [path for path, _ in posts if path == "/one"] == ["/one"]
    assert [path for path, _ in posts if path == "/refused"] == ["/refused"] * 2
    messages = section(paths.night_note("pharma", night.date).read_text(), "Messages")
    assert "line 1 (JSON): sent" in messages
    assert all(f"Note {note_id(night)}." in post["message"] for _, post in posts)
    assert note_id(night) != note_id(replace(night, ended=night.ended + 1)), "`run-now` has continued it"


def test_a_disk_that_refuses_is_said_and_raises_nothing(tmp_path: Path) -> None:
    paths = made_paths(tmp_path, "pharma")
    ledger = recorded(paths, made_night(1))
    (paths.nightly / "notes").write_text("a file where a folder belongs")
    paths.nights_page.mkdir()
    trouble = after(made_night(1), ledger, paths)
    assert len(trouble.splitlines()) == 2
    assert "the morning note could not be written: " in trouble
    assert "the page over all nights could not be written: " in trouble
    assert paths.morning_note("pharma").is_file()


def test_a_damaged_ledger_costs_no_note(tmp_path: Path) -> None:
    paths = made_paths(tmp_path)
    ledger = recorded(paths)
    paths.nightly.mkdir(parents=True)
    paths.nights_database.write_bytes(b"damaged " * 1000)
    trouble = after(made_night(1, verdict=made_verdict()), ledger, paths)
    assert "the ledger of nights could not be read" in trouble
    assert paths.night_note("pharma", "2026-03-01").is_file()


@pytest.mark.parametrize(
    "verdict",
    [
        {"status": "certified", "rank": {}, "ladder": [{"rank": {}}], "bracket": [{}, []]},
        {"status": [], "rank": [1], "trials": {"complete": "x"}, "reasons": 5},
        {"status": "certified", "rank": 8, "trials": [], "findings": [5], "next_steps": 5, "test": {"base": 5}},
        {"status": "certified", "rank": 8, "margin": 10**400, "ladder": [{"rank": 8, "loss": 10**400}]},
        {"status": "certified", "rank": 8, "seeds_needed": "x", "margin": "x", "ladder": [{"rank": 8, "mean": "x"}]},
    ],
)
def test_a_verdict_of_garbage_costs_no_note(verdict: dict[str, object], tmp_path: Path) -> None:
    paths = made_paths(tmp_path)
    night = made_night(1, verdict=verdict, before=made_verdict())
    ledger = recorded(paths, night)
    assert after(night, ledger, paths) == ""
    assert ledger.nights() == [night]


class Unreadable(dict[str, object]):
    """A verdict that raises what nobody expects of it."""

    def get(self, key: str, default: object = None) -> object:
        raise LookupError(f"planted, at {key}")


def test_a_note_that_cannot_be_written_in_full_says_what_is_certain(tmp_path: Path) -> None:
    night = made_night(1, Outcome.FAILED, Unreadable(), exit_code=4, reason="no trial is complete")
    paths = made_paths(tmp_path, "pharma")
    ledger = recorded(paths, night)
    with web_server() as (port, taken):
        after(night, ledger, paths, [f"json://127.0.0.1:{port}/"])
    ((_, message),) = taken
    for text in (paths.night_note("pharma", "2026-03-01").read_text(), paths.morning_note("pharma").read_text()):
        assert text.startswith("# pharma, night of 2026-03-01: failed\n")
        for words in ("no trial is complete", "planted, at "):
            assert words in text
            assert words in str(message)


def test_several_studies_of_a_night_keep_a_note_each(tmp_path: Path) -> None:
    paths = made_paths(tmp_path)
    first = made_night(1, schedule="all")
    second = replace(first, study="legal", started=first.started + HOUR)
    ledger = recorded(paths, first, second)
    assert after(first, ledger, paths) == after(second, ledger, paths) == ""
    assert "# pharma" in paths.night_note("all", "2026-03-01").read_text()
    assert "# legal" in paths.night_note("all", "2026-03-01", "legal").read_text()


def test_verdicts_of_other_versions_are_read_as_far_as_they_go() -> None:
    for strange in ({}, {"ladder": None, "rank": "8", "test": [], "settle": 3}, {"ladder": [None, 4], "margin": "x"}):
        now = standing(strange)
        assert now is not None
        assert now.words == "undecided"
        assert changes(strange, made_verdict())
        assert changes(made_verdict(), strange)
    arms = made_verdict(arm="IA3 on q_v")
    assert standing(arms).words == "certified, IA3 on q_v"
    assert changes(None, None) == ()
