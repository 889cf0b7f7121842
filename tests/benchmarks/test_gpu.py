"""The command that measures everything on a GPU, with small parts of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.faults.processes import has_ended, waited
from benchmarks.gpu import LIMIT, Outcome, Part, key, known, page, parts, run

ABOUT = {"name": "a card", "date": "2026-01-01", "cores": 2, "cpu": "a processor", "versions": {"torch": "2"}}
JUNIT = '<testsuites><testsuite tests="4" failures="1" errors="0" skipped="1"/></testsuites>'


def writes(name: str, code: str) -> Part:
    return Part(name, ("-c", code, "{out}", "{junit}"), "for a test")


def test_an_outcome_is_kept_for_the_next_call(tmp_path: Path) -> None:
    part = writes("figures", "import json, sys; json.dump({'seconds': 1.5}, open(sys.argv[1], 'w')); print('said')")
    outcome = run(part, "of", tmp_path, os.environ)
    assert outcome.well
    assert outcome.tail == "said\n"
    assert known(tmp_path, "figures") == outcome
    shown = page([part], {"figures": outcome}, ABOUT, tmp_path)
    assert "# Measured on a card" in shown
    assert "| seconds | 1.5 |" in shown


def test_a_part_that_takes_too_long_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"

    class Patient(subprocess.Popen[bytes]):
        """Its limit is over as soon as its child has started."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout == LIMIT:
                assert waited(lambda: pid.exists() and bool(pid.read_text()), 60.0)
                raise subprocess.TimeoutExpired(self.args, timeout)
            return super().wait(timeout)

    code = (
        "import pathlib, subprocess; child = subprocess.Popen(['sleep', '60']); "
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid)); child.wait()"
    )
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", Patient)
        outcome = run(writes("slow", code), "of", tmp_path, os.environ)
    assert not outcome.well
    assert outcome.words == "took longer than 600 s"
    child = int(pid.read_text())
    assert waited(lambda: has_ended(child), 60.0)


def test_failures_and_skipped_tests_are_on_the_page(tmp_path: Path) -> None:
    part = writes("tests", f"import sys; open(sys.argv[2], 'w').write({JUNIT!r}); sys.exit(1)")
    outcome = run(part, "of", tmp_path, os.environ)
    assert outcome.words == "**failed** (status 1): 2 passed, 1 failed, 1 skipped"


def test_tests_of_which_none_ran_do_not_end_well() -> None:
    assert not Outcome("tests", "of", 1.0, 0, "", {"passed": 0, "failed": 0, "skipped": 3}).well


def test_another_card_or_source_makes_an_outcome_void() -> None:
    part = writes("one", "pass")
    assert (
        len(
            {key(part, "H100", "a"), key(part, "H100", "b"), key(part, "L4", "a"), key(writes("one", "1"), "H100", "a")}
        )
        == 4
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "one"}'])
def test_an_outcome_that_cannot_be_read_is_run_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.outcome.json").write_text(text)
    assert known(tmp_path, "one") is None


def test_every_case_of_the_memory_model_is_in_one_part(tmp_path: Path) -> None:
    made = parts("cuda", [tmp_path], tmp_path / "peer.py")
    cases = [int(word) for part in made if part.name.startswith("memory") for word in part.words if word.isdigit()]
    assert sorted(cases) == list(range(len(gpu.CASES)))
    assert [part.name for part in made][-2:] == [f"naive-{tmp_path.name}", f"verdict-{tmp_path.name}"]


def test_without_a_card_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="torch sees no CUDA device here"):
        gpu.main()


def test_a_call_goes_on_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    count = f"open({str(runs)!r}, 'a').write('x')"
    made = [writes("one", count), writes("two", f"{count}; import sys; sys.exit(3)")]
    monkeypatch.setattr(gpu, "parts", lambda device, data, peer: made)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert gpu.main() == 1
    assert gpu.main() == 1
    assert runs.read_text() == "xx"
    assert "1 of 2 parts ended well" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--again", "two"])
    assert gpu.main() == 1
    assert runs.read_text() == "xxx"
    assert "**failed** (status 3)" in (tmp_path / "out" / "gpu.md").read_text()
