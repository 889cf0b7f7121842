"""No account, password or token of an address is printed, however a library or a mistyped key words it."""

from __future__ import annotations

import io
import string
import subprocess
import sys
from typing import TextIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.console.masking import MaskedStream, hide, mask, mask_quoted, mask_word

letters = string.ascii_letters + string.digits
words = st.text(letters, min_size=6, max_size=12)
passwords = st.text(letters + "@:/?#%&=+!", max_size=12).map(lambda text: f"Secret{text}")


@given(st.sampled_from(["postgresql", "mysql+pymysql", "https"]), words, passwords, words)
def test_account_is_masked_whatever_the_password_holds(scheme: str, user: str, password: str, host: str) -> None:
    shown = mask(f"{scheme}://{user}:{password}@{host}.example:5432/database")
    assert shown == f"{scheme}://***@{host}.example:5432/database"


@given(words, words)
def test_token_of_the_query_is_masked(host: str, token: str) -> None:
    assert mask(f"https://{host}.example/api?token=Secret{token}") == f"https://{host}.example/api?***"


@pytest.mark.parametrize(
    "url", ["sqlite:////home/me@work/mlflow.db", "http://127.0.0.1:5000", "memory://", "postgresql://host/database", ""]
)
def test_address_without_secrets_stays(url: str) -> None:
    assert mask(url) == url


def test_address_inside_a_text_is_masked() -> None:
    told = mask("cannot open postgresql://user:Secret@host/db?sslkey=Secret (is it there?)")
    assert told == "cannot open postgresql://***@host/db?*** (is it there?)"


@pytest.mark.parametrize(
    "text",
    [
        "trackin.uri=http://user:Sekret@127.0.0.1:5000: there is no key 'trackin.uri'",
        "tracking.uri=http:/user:Sekret@host/path",
        "tracking.uri=user:Sekret@host",
        "(tracking.uri: 'postgres:user:Sek/ret@host')",
        "storage.url=host/db?password=Sekret",
        'uri: "https://host/api?a=1&token=Sekret"',
    ],
)
def test_mistyped_addresses_are_masked(text: str) -> None:
    shown = mask(text)
    assert "Sekret" not in shown
    assert "ret@" not in shown
    assert shown.startswith(text.split(":")[0].split("=")[0])
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "pharma@3f2ab81c90: 12 of 12 trials (r16-lr1e-03-s0)",
        "git@github.com:someone/something.git",
        "did you mean 'lora.r'? (python -m sweep --help lists all)",
        "12:30:05 loading smollm2-135m (nf4)",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert mask(text) == text


def test_known_secrets_are_masked_alone_encoded_and_broken_over_lines() -> None:
    hide("tracking.uri=https://me:pass%23w0rd/1@host/x", "storage.url=postgresql://h/d?sslkey=abcdefghijklmn")
    for text in ("password pass%23w0rd/1 refused", "pass#w0rd/1", "pass\n#w0r\nd/1", "key abcdefghijklmn"):
        assert "***" in mask(text)
        assert "w0r" not in mask(text)
        assert "cdefg" not in mask(text)


def test_a_stream_masks_and_is_otherwise_what_it_was() -> None:
    kept = io.StringIO()
    stream = cast(TextIO, MaskedStream(kept))
    print("see", "http://me:Sekret@host/x", file=stream, flush=True)
    stream.writelines(["http://me:Sekret@host\n"])
    assert kept.getvalue() == "see http://***@host/x\nhttp://***@host\n"
    assert not stream.isatty()


def test_tracebacks_of_a_command_are_masked_with_the_secrets_of_the_environment() -> None:
    code = (
        "import os, threading\n"
        "from sweep.console.command import run\n"
        "def broken():\n"
        "    raise RuntimeError('url http://me:Sekret@host, token ' + os.environ['MADE_UP_TOKEN'])\n"
        "def command():\n"
        "    thread = threading.Thread(target=broken)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    broken()\n"
        "run(command)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MADE_UP_TOKEN": "tok-en-1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("url http://***@host, token ***") == 2
    assert "Sekret" not in done.stderr
    assert "tok-en-1" not in done.stderr


def test_the_address_of_a_view_in_mlflow_is_shown_and_a_secret_beside_it_is_not() -> None:
    page = "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=goldilocks-charts&compareRunsMode=CHART"
    assert mask(f"open {page}") == f"open {page}"
    assert (
        mask("#/runs?viewStateShareKey=a&workflowType=machine_learning")
        == "#/runs?viewStateShareKey=a&workflowType=machine_learning"
    )
    assert mask(f"{page}&token=hush") == page.partition("?")[0] + "?***"
    assert "hush" not in mask("http://host/?token=hush&viewStateShareKey=a")


@pytest.mark.parametrize(
    "text",
    [
        "a.csv:3: Contact:info@pharma.de",
        "n:x@y/train.jsonl:1 and https://a.example/page?id=3&key=value@host",
        "https://a.example:80/x, me:you@host",
    ],
)
def test_what_a_record_quotes_stays(text: str) -> None:
    assert mask_quoted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:Sekret@host/x is away", "https://***@host/x is away"),
        ("https://SekretSekret@host/x", "https://***@host/x"),
        ("h/d?sslmode=a&api_token=Sekret: 1", "h/d?sslmode=a&api_token=***"),
    ],
)
def test_passwords_of_whole_addresses_are_in_no_record(text: str, shown: str) -> None:
    assert mask_quoted(text).startswith(shown)
    assert mask_quoted(mask_quoted(text)) == mask_quoted(text)


def test_words_of_a_command_are_masked_unless_they_are_text_or_paths() -> None:
    for word in ("task.system_prompt='write to a:b@c'", "+task.path=n:x@y?id=3"):
        assert mask_word(word) == word
    assert mask_word("trackin.uri=me:Sekret@host") == "trackin.uri=***@host"
    assert mask_word("task.path=https://me:Sekret@host/x") == "task.path=https://***@host/x"
