"""Standard output that cannot be written, or whose reader goes away, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from sweep.console.command import run

def command():
    for number in range(20000):
        print("a line", number)
    print(end="", flush=True)
    print("done", file=sys.stderr)
    return CODE

sys.exit(run(command))
"""


def script(code: int = 0) -> list[str]:
    return [sys.executable, "-c", SCRIPT.replace("CODE", str(code))]


@pytest.mark.parametrize("code", [0, 4])
def test_a_reader_that_goes_away_changes_nothing(code: int) -> None:
    process = subprocess.Popen(script(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"a line 0\n"
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    assert (process.wait(60), said) == (code, b"done\n")
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("code", "ends_with"), [(0, 3), (4, 4)])
def test_output_that_cannot_be_written_is_said_at_the_end(code: int, ends_with: int) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(script(code), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == ends_with
    assert done.stderr.startswith("done\n")
    assert "Traceback" not in done.stderr
    assert ("standard output cannot be written: No space left on device" in done.stderr) == (code == 0)


def test_both_outputs_gone() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(script(), stdout=full, stderr=full, timeout=60, check=False)
    assert done.returncode == 3


def test_no_output_at_all() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *script()], stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_half_a_surrogate_pair_in_a_name_is_written_as_an_escape() -> None:
    code = "from sweep.console.command import run; import sys; sys.exit(run(lambda: print('a' + chr(0xd83d))))"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True, env=environment)
    assert done.stdout == b"a\\ud83d\n"


def test_text_is_written_as_before() -> None:
    code = (
        "from sweep.console.command import run; import sys; sys.exit(run(lambda: print('naïve', sys.stdout.encoding)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert done.stdout == "naïve iso8859-1\n".encode("latin-1")


def test_a_plain_locale_shows_question_marks_and_breaks_nothing() -> None:
    code = "import sys\nfrom sweep.console.command import run\nsys.exit(run(lambda: print('◆ größer')))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"? gr??er\n")
