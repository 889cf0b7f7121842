"""The command line as typed, and commands that can be pasted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.console import command_line
from sweep.console.command_line import pasteable

WRAPPER = "import sys\nfrom sweep.commands.main import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bin folder of a virtual environment inside the current folder, not activated."""
    folder = tmp_path / "my venv/bin"
    folder.mkdir(parents=True)
    for name in ("python", "goldilocks"):
        (folder / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    return folder


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m sweep.report study='a b'", "PYTHON -m sweep.report study='a b'"),
        ("python -m sweep +study=a search.trials=2", "PYTHON -m sweep +study=a search.trials=2"),
        ("python -m sweep train lora.r=8", "PYTHON -m sweep.train lora.r=8"),
        ("python -m sweep train.steps=8", "PYTHON -m sweep train.steps=8"),
        ("python -m sweep help lora.r", "PYTHON -m sweep help lora.r"),
        ("goldilocks run +study=a", "PYTHON -m sweep +study=a"),
        ("/else/where/bin/python3 -m sweep.doctor", "PYTHON -m sweep.doctor"),
        ("mlflow ui", "mlflow ui"),
    ],
)
def test_a_command_is_pasteable_with_this_interpreter(environment: Path, command: str, expected: str) -> None:
    assert pasteable(command) == expected.replace("PYTHON", "'my venv/bin/python'")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m sweep.report study='a b'", "report study='a b'"),
        ("python -m sweep +study=a", "run +study=a"),
        ("goldilocks +study=a", "run +study=a"),
        ("goldilocks predict study=a", "predict study=a"),
    ],
)
def test_a_process_started_as_goldilocks_prints_goldilocks(
    environment: Path, monkeypatch: pytest.MonkeyPatch, command: str, expected: str
) -> None:
    monkeypatch.setattr(sys, "argv", [str(environment / "goldilocks")])
    assert pasteable(command) == f"'my venv/bin/goldilocks' {expected}"
    monkeypatch.setenv("PATH", str(environment), prepend=os.pathsep)
    assert pasteable(command) == f"goldilocks {expected}"


def test_an_activated_environment_needs_no_path(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(environment), prepend=os.pathsep)
    assert pasteable("python -m sweep.doctor") == "python -m sweep.doctor"


def test_an_interpreter_elsewhere_is_named_in_full(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "executable", "/opt/venv/bin/python")
    assert pasteable("python -m sweep.doctor") == "opt/venv/bin/python -m sweep.doctor"
    monkeypatch.chdir(environment)
    assert pasteable("python -m sweep.doctor") == "/opt/venv/bin/python -m sweep.doctor"


@pytest.mark.parametrize("program", [("goldilocks", "run"), ("python", "-m", "sweep")])
def test_the_recorded_command_is_the_one_typed(monkeypatch: pytest.MonkeyPatch, program: tuple[str, ...]) -> None:
    monkeypatch.setattr(command_line, "_typed", None)
    command_line.remember_command_line(program, ["+study=a", "storage.url=mysql://me:secret@host/db"])
    assert command_line.command_line() == f"{' '.join(program)} +study=a 'storage.url=mysql://***@host/db'"


class TestEntries:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        """What pip writes for `[project.scripts]`."""
        file = tmp_path / "goldilocks"
        file.write_text(f"#!{sys.executable}\n{WRAPPER}")
        file.chmod(0o755)
        return file

    def ended(self, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    @pytest.mark.parametrize(
        ("words", "code", "text"),
        [
            (["--version"], 0, "goldilocks "),
            (["--help"], 0, "Usage:"),
            (["predict", "--help"], 0, "predict study=NAME"),
            (["report", "study="], 2, "study=: write KEY=VALUE"),
            (["trian"], 2, "did you mean 'train'?"),
            (["train", "lora.rr=8"], 2, "did you mean 'lora.r'?"),
            (["run", "lora.rr=8"], 2, "did you mean 'lora.r'?"),
            (["lora.rr=8"], 2, "did you mean 'lora.r'?"),
        ],
    )
    def test_both_take_the_same_words(
        self, script: Path, tmp_path: Path, words: list[str], code: int, text: str
    ) -> None:
        for program in ([script], [sys.executable, "-m", "sweep"]):
            done = self.ended(*program, *words, folder=tmp_path)
            assert done.returncode == code, done.stderr
            assert text in done.stdout + done.stderr
        assert [file.name for file in tmp_path.iterdir()] == ["goldilocks"]

    def test_without_words_the_script_shows_help(self, script: Path, tmp_path: Path) -> None:
        assert "Usage:" in self.ended(script, folder=tmp_path).stdout
