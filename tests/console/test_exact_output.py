"""What data and models say is printed as it is; only known secrets that no text holds by chance are masked in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEXTS = (
    "Contact:info@pharma.de",
    "https://a.example/page?id=3",
    "a:b@c ?x=y postgresql://someone:else@host/db",
    "this is true, the latest test of postgres",
)


def printed(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\nfrom sweep.console.command import run\n{code}\nsys.exit(run(command))",
            *words,
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_text_is_printed_as_it_is(stream: str) -> None:
    code = f"def command():\n    print({chr(10).join(TEXTS)!r}, file=sys.{stream})"
    done = printed(code, "storage.url=postgresql://postgres:test@host/db", X_TOKEN="true", MY_PASSWORD="test")
    assert getattr(done, stream) == "\n".join(TEXTS) + "\n"


def test_a_prompt_is_no_address_and_its_answer_is_exact() -> None:
    code = "def command():\n    print(sys.argv[1])"
    word = "prompt=mailto:information9@pharma.de"
    assert printed(code, word).stdout == f"{word}\n"


def test_an_error_that_quotes_a_row_is_exact_and_cannot_act_on_a_terminal() -> None:
    code = (
        "def command():\n"
        "    from sweep.errors import DataError\n"
        "    raise DataError('a.csv:3: Contact:info@pharma.de \\x1b[31m')"
    )
    assert "  - a.csv:3: Contact:info@pharma.de \\x1b[31m\n" in printed(code).stderr


@pytest.mark.parametrize(
    ("word", "secret"),
    [
        ("tracking.uri=postgresql:/u:pw@host/db", "pw"),
        ("trackin.uri=me:Sek/ret@host", "Sek"),
        ("storage.url=host/db?password=Sekret", "Sekret"),
    ],
)
def test_a_mistyped_address_of_the_command_line_is_a_known_secret(word: str, secret: str) -> None:
    done = printed("def command():\n    print('given:', sys.argv[1])", word)
    assert done.stdout.startswith("given: ")
    assert "***" in done.stdout
    assert secret not in done.stdout


def test_log_records_of_libraries_are_masked_by_form() -> None:
    code = "def command():\n    import logging\n    logging.getLogger('urllib3').warning('retry %s', 'http://me:Sekret@host/?token=Sekret')"
    assert printed(code).stderr == "retry http://***@host/?***\n"
