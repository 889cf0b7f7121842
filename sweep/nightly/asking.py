"""Work that is done by a child process which is ended if it takes too long: what imports slow libraries, or waits for others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What a child process said.

    Attributes:
        lines: the JSON values that it wrote, one a line; a line that its end cut off is left out.
        late: whether it was ended because the time was up.
        problem: why it could not be started; None if it was.
    """

    lines: tuple[Any, ...] = ()
    late: bool = False
    problem: str | None = None


def ask(module: str, job: Mapping[str, object], seconds: float) -> Reply:
    """Runs `python -m MODULE` with the job as JSON on its standard input, so that no secret of it is in a command line or file.

    Args:
        seconds: the longest wait.
    """
    try:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        return Reply(problem=f"no process can be started: {error.strerror}")
    late = False
    with child:
        try:
            said, _ = child.communicate(json.dumps(job), timeout=seconds)
        except subprocess.TimeoutExpired:
            late = True
            child.kill()
            said, _ = child.communicate()
        except BaseException:
            child.kill()
            raise
    lines = []
    for line in said.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut off
            continue
    return Reply(tuple(lines), late)
