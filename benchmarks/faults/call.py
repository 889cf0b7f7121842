"""One call of the command, as a person would make it, with what it printed and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.faults.processes import end_all, family_of, waited
from benchmarks.machine import ROOT

LIMIT_SECONDS = 180.0
"""No call may take longer, whatever was done to it; undisturbed it takes a tenth of that."""

_LAST_WORDS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call is made, where it is not made in the plain way.

    Attributes:
        environment: variables that are set; None: unset.
        limits: arguments of the shell's `ulimit`, for example `-v 1000000`.
        stdout: where its output goes instead of a file that is read afterwards.
        stderr: the same for its errors.
        head: its output goes to `head`, which ends after this number of lines.
    """

    environment: Mapping[str, str | None] = field(default_factory=dict)
    limits: Sequence[str] = ()
    stdout: Path | None = None
    stderr: Path | None = None
    head: int | None = None


PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over.

    Attributes:
        code: its exit code; the negative number of the signal that ended it.
        expected: the exit codes that are documented for what was done to it.
        says: a regular expression that the output must match unless the exit code is 0.
        always_says: the same, however it ended.
        in_time: whether it ended within `LIMIT_SECONDS`.
        silent: whether it could print nothing, because its outputs were taken away.
    """

    code: int
    output: str
    seconds: float
    expected: frozenset[int]
    says: str | None = None
    always_says: str | None = None
    in_time: bool = True
    silent: bool = False


class Call:
    """`python -m MODULE WORDS` in a folder, running or over.

    Args:
        words: what comes after the module.
        notes: the files for its output: this with `.out` and `.err` behind it.
        expected: see `Ended`.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        notes: Path,
        expected: frozenset[int],
        manner: Manner = PLAIN,
        says: str | None = None,
        always_says: str | None = None,
        module: str = "sweep",
    ) -> None:
        self._out, self._err = notes.with_suffix(".out"), notes.with_suffix(".err")
        self._expected, self._says, self._always_says = expected, says, always_says
        self._silent = manner.stdout is not None and manner.stderr is not None
        self._ended: Ended | None = None
        command = [sys.executable, "-m", module, *words]
        if manner.limits:
            limits = " && ".join(f"ulimit {limit}" for limit in manner.limits)
            command = ["sh", "-c", f'{limits} && exec "$@"', "sh", *command]
        self._began = time.monotonic()
        with (manner.stdout or self._out).open("wb") as out, (manner.stderr or self._err).open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if manner.head is not None else out,
                stderr=err,
                env=_environment(manner.environment),
                start_new_session=True,
            )
            if manner.head is not None:
                assert self._process.stdout is not None
                self._head = subprocess.Popen(
                    ["head", "-n", str(manner.head)],  # noqa: S607 (wherever it lies)
                    stdin=self._process.stdout,
                    stdout=out,
                )
                self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The process id of the sweep itself."""
        return self._process.pid

    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def lines(self) -> int:
        """How many lines it has printed; those that depend on the clock are indented, and do not count."""
        lines = self._out.read_bytes().splitlines(keepends=True) if self._out.exists() else []
        return sum(line.endswith(b"\n") and not line.startswith(b" ") for line in lines)

    def send(self, number: signal.Signals, *, group: bool = False) -> bool:
        """Sends a signal, also to all that it started if `group`, as a terminal does.

        Returns:
            Whether the sweep was there to receive it.
        """
        if self.is_over():
            return False
        if group:
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)
        return True

    def family(self) -> list[psutil.Process]:
        """The sweep and all that it started, itself first; none when it is over."""
        return [] if self.is_over() else family_of(self.pid)

    def end(self) -> Ended:
        """Waits for the end; what does not end in time is killed, with all that it started."""
        if self._ended is None:
            left = LIMIT_SECONDS - (time.monotonic() - self._began)
            in_time = waited(self.is_over, left)
            seconds = time.monotonic() - self._began
            if not in_time:
                end_all(family_of(self.pid))
            code = self._process.wait(_LAST_WORDS_SECONDS)
            output = "".join(file.read_text(errors="replace") for file in (self._out, self._err) if file.exists())
            self._ended = Ended(
                code, output, seconds, self._expected, self._says, self._always_says, in_time, self._silent
            )
        return self._ended


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    # Python's cache of compiled files is not what a full disk or a limit is about
    fixed = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    merged: dict[str, str | None] = {**kept, **fixed, **changes}
    return {name: value for name, value in merged.items() if value is not None}
