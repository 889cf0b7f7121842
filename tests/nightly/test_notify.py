"""Notes reach real services; what is wrong with an address is said without its secrets; a service that hangs costs a bounded time."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sweep.nightly import notify
from sweep.nightly.night import Outcome
from sweep.nightly.notify import Delivery, problems, send
from tests.nightly.services import hanging_server, mail_server, web_server

PLANTED = "planted-4711-secret"
TEXT = "# pharma\n\nRank 8 is enough, by set_f1 & \u00e4 <b>.\n\n- one ${HOME}\n- two\n"


def test_a_mail_server_and_a_web_server_take_the_note(tmp_path: Path) -> None:
    with mail_server() as (mail, mails), web_server() as (web, posts):
        hooks = tmp_path / "hooks"
        hooks.write_text(
            f"# two\njson://me:{PLANTED}@127.0.0.1:{web}/taken\n\njson://me:{PLANTED}@127.0.0.1:{web}/refused\n"
        )
        hooks.chmod(0o600)
        inbox = f"mailto://127.0.0.1:{mail}?from=night@example.org&to=me@example.org&mode=insecure"
        deliveries = send(
            "pharma: done",
            TEXT,
            Outcome.DONE,
            [inbox, f"file:{hooks}", "env:WEBHOOK", "env:AWAY"],
            {"WEBHOOK": f"json://127.0.0.1:{web}/{PLANTED}"},
        )
    assert [delivery.error is None for delivery in deliveries] == [True, True, False, True, False]
    assert "error=500" in (deliveries[2].error or "")
    assert deliveries[4] == Delivery("notify", "env:AWAY: the environment variable AWAY is not set")
    assert PLANTED not in str(deliveries)
    (received,) = mails
    assert received["subject"] == "pharma: done"
    plain, html = (part.get_payload(decode=True).decode() for part in received.get_payload())
    assert "set_f1 & \u00e4" in plain
    assert "<li>one ${HOME}</li>" in html
    assert sorted(path for path, _ in posts) == [f"/{PLANTED}", "/refused", "/taken"]
    assert {(post["title"], post["message"], post["type"]) for _, post in posts} == {
        ("pharma: done", TEXT.strip(), "success")
    }


@pytest.mark.parametrize(("kills", "delivered"), [(1, 1), (2, 0)])
def test_a_sending_process_that_is_killed_is_replaced_once(kills: int, delivered: int) -> None:
    killed: list[int] = []
    over = threading.Event()

    def kill_senders() -> None:
        while len(killed) < kills and not over.wait(0.002):
            for child in psutil.Process().children():
                with suppress(psutil.Error):
                    if "sweep.nightly.sending" in child.cmdline() and child.pid not in killed:
                        child.kill()
                        killed.append(child.pid)

    with web_server() as (web, posts):
        killer = threading.Thread(target=kill_senders)
        killer.start()
        (delivery,) = send("pharma: done", TEXT, Outcome.DONE, [f"json://127.0.0.1:{web}/taken"])
        over.set()
        killer.join()
    assert len(killed) == kills
    assert len(posts) == delivered
    assert delivery.error == (None if delivered else "the process that sends messages ended early")


@pytest.mark.parametrize(
    ("entry", "environ", "words"),
    [
        ("slak://a/b/c", {}, r"slak://\.\.\.: there is no service 'slak'; did you mean 'slack'\?"),
        ("mailto://", {}, r"mailto://\.\.\.: the address is not complete; it is written mailto://\{host\}"),
        ("env:NIGHT_MAIL", {}, "env:NIGHT_MAIL: the environment variable NIGHT_MAIL is not set"),
        ("env:NIGHT_MAIL", {"NIGHT_MAIL": PLANTED}, "env:NIGHT_MAIL: it holds no address"),
        ("env:NIGHT_MAIL", {"NIGHT_MAIL": f"slack://{PLANTED}"}, "env:NIGHT_MAIL: the address is not complete"),
        (
            "env:NIGHT_MAIL",
            {"NIGHT_MAIL": f"json://good/\n{PLANTED}://x"},
            "env:NIGHT_MAIL, line 2: there is no service",
        ),
        (PLANTED, {}, "an entry without a service: this is no address"),
        ("file:/nowhere/at/all", {}, "file:/nowhere/at/all: the file cannot be read: No such file"),
        (f"mailto://me:{PLANTED}@example.org", {}, r"mailto://\.\.\.: the address holds a secret.*env:NAME"),
        (f"json://example.org/{PLANTED}", {}, r"json://\.\.\.: the address holds a secret"),
        (f"json://example.org/?+X-Token={PLANTED}", {}, r"json://\.\.\.: the address holds a secret"),
        (f"slack://T1JJ3T3L2/A1BRTD4JD/{PLANTED}", {}, r"slack://\.\.\.: the address"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(entry: str, environ: Mapping[str, str], words: str) -> None:
    (problem,) = problems([entry], environ)
    assert problem.startswith("notify: ")
    assert re.search(words, problem), problem
    assert PLANTED not in problem


def test_all_problems_are_reported_at_once_and_good_addresses_have_none(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.write_text("json://example.org/")
    hooks.chmod(0o644)
    environ = {
        "MAIL": f"mailtos://me:{PLANTED}@example.org",
        "CHAT": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    }
    good = ["env:MAIL", "env:CHAT", "mailto://127.0.0.1:25?from=a@example.org&to=b@example.org", "ntfy://night-notes"]
    assert problems(good, environ) == []
    assert problems([], {}) == []
    several = problems([*good, f"file:{hooks}", "env:MISSING", "nothing://x"], environ)
    assert len(several) == 3
    assert f"chmod 600 {hooks}" in several[0]


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    (problem,) = problems(["env:MAIL"], {})
    assert "goldilocks-lora[notify]" in problem
    (delivery,) = send("title", TEXT, Outcome.DONE, ["env:MAIL"], {})
    assert "goldilocks-lora[notify]" in (delivery.error or "")


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_GRACE_SECONDS", 0.0)
    began = time.monotonic()
    (delivery,) = send("title", TEXT, Outcome.FAILED, ["json://127.0.0.1:9/"], {}, seconds=0.05)
    assert delivery.error == "it did not answer within 0.05 s"
    assert time.monotonic() - began < 30


@pytest.mark.slow  # starts two processes
def test_a_service_that_hangs_delays_no_other() -> None:
    heard: list[str] = []
    with hanging_server() as (hangs, answer), web_server() as (web, posts):

        def sent(receiver: str) -> None:
            heard.append(receiver)
            answer.set()

        addresses = [f"json://127.0.0.1:{hangs}/", f"json://127.0.0.1:{web}/"]
        stuck, taken = send("title", TEXT, Outcome.DONE, addresses, {}, seconds=100, sent=sent)
    assert taken.error is None
    assert len(posts) == 1
    assert heard == [taken.to] == ["json://... (JSON), number 2"]
    # who has the note is known while another service still hangs: a process that is killed then sends it to nobody twice
    assert stuck.error is not None
    assert "did not answer within" not in stuck.error, "it hung until the other was heard of"
    with hanging_server() as (hangs, _):
        (alone,) = send("title", TEXT, Outcome.DONE, [f"json://127.0.0.1:{hangs}/"], {}, seconds=1)
    assert alone.error == "it did not answer within 1 s"


@pytest.mark.slow  # starts a process of its own
def test_a_note_that_is_too_long_for_a_service_comes_in_parts() -> None:
    lines = [f"line {number} of a long note" for number in range(300)]
    with web_server() as (port, posts):
        chat = f"mmost://127.0.0.1:{port}/{'3ccdd113474722377935511fc85d3dd4'}"  # Mattermost takes 4000 characters
        (delivery,) = send("title", "\n".join(lines), Outcome.DONE, ["env:CHAT"], {"CHAT": chat})
    assert delivery == Delivery("env:CHAT (Mattermost)")
    parts = [str(post["text"]) for _, post in posts]
    assert len(parts) > 1
    assert all(len(part) <= 4000 for part in parts)
    assert "line 0 of" in parts[0]
    assert "line 299 of" in parts[-1]
