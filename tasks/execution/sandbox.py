"""The parent's side of the process that runs answers (`server.py`)."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tasks.example import DataProblems
from tasks.execution.program import Program

UNSAFE = "GOLDILOCKS_UNSAFE_EXECUTION"
"""Set to 1, answers are run on machines without walls as well, where they can do what their user can."""

_SERVER = Path(__file__).with_name("server.py")
_NEEDED = ("LD_LIBRARY_PATH",)
"""All that the process gets of the environment: some interpreters do not start without it."""
_PIPE = 2**15
"""Bytes of expressions that are sent at once; a pipe of the kernel holds twice that."""

_running: dict[tuple[int, Program], Sandbox] = {}


def sandbox_of(program: Program) -> Sandbox:
    """The process that runs answers within a program, started unless it runs; it ends with this process.

    Raises:
        DataProblems: the setup fails, or this machine has no walls.
    """
    key = (os.getpid(), program)
    if key in _running and not _running[key].is_alive:
        _running.pop(key).close()
    if key not in _running:
        _running[key] = Sandbox(program)
    return _running[key]


@atexit.register
def close_all() -> None:
    """Ends the processes of this process."""
    for pid, program in list(_running):
        sandbox = _running.pop((pid, program))
        if pid == os.getpid():
            sandbox.close()


class Sandbox:
    """A process that forks one child per answer."""

    def __init__(self, program: Program) -> None:
        """Starts it.

        Raises:
            DataProblems: the setup fails, or this machine has no walls.
        """
        if os.name != "posix":
            raise DataProblems([f"answers cannot be run on {sys.platform}: use Linux, or task.metric=exact_match"])
        self._lock = threading.Lock()
        # an answer can write no file; without walls, what it writes is removed with this folder
        self._folder = tempfile.TemporaryDirectory(prefix="goldilocks_run_")
        self._process = subprocess.Popen(  # noqa: S603 our own interpreter, and our own file
            [sys.executable, "-I", "-S", "-B", str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._folder.name,
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
            start_new_session=True,
        )
        limits = program.limits
        self._output = limits.output
        settings = {
            "here": str(_SERVER.parent),
            "folders": [str(folder.absolute()) for folder in program.folders],
            "modules": program.modules,
            "setup": program.setup,
            "cpu_seconds": limits.cpu_seconds,
            "seconds": limits.seconds,
            "memory": limits.memory,
            "output": limits.output,
            "unsafe": os.environ.get(UNSAFE) == "1",
        }
        try:
            missing = self._ask(settings)["missing"]
        except DataProblems:
            self.close()
            raise
        if missing is not None:
            self.close()
            raise DataProblems(
                [
                    f"answers cannot be run: {missing} (walls need Linux with seccomp, on x86-64 or ARM64; {UNSAFE}=1 runs answers "
                    "without walls, with all rights of your user)"
                ]
            )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def run(self, code: str, expressions: Sequence[str]) -> list[str]:
        """The values of expressions after some code has run, each as JSON text from the child; fewer if the code or an expression ended it.

        Raises:
            DataProblems: the expressions are too long, or the process has died.
        """
        asked = json.dumps(list(expressions))
        if len(asked) > _PIPE:
            raise DataProblems([f"the checks of an example have {len(asked)} characters; at most {_PIPE} can be run"])
        with self._lock:
            if not self._ask({"code": code})["ran"]:
                return []
            self._write(asked)
            said = str(self._answered()["said"])
        whole = said if len(said.encode()) < self._output else said.rpartition("\n")[0]
        return whole.split("\n")[: len(expressions)]

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # what was not sent before it ended
                if stream is not None:
                    stream.close()
        self._folder.cleanup()

    def _ask(self, message: dict[str, object]) -> dict[str, object]:
        self._write(json.dumps(message))
        return self._answered()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # reported when its answer is read

    def _answered(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DataProblems(["the process that runs answers has ended (out of memory?); run the command again"])
        answer: dict[str, object] = json.loads(line)
        return answer
