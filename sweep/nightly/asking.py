"""Work that is done by a child process which is ended if it takes too long: what imports slow libraries, or waits for others."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, Any


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


def ask(
    module: str, job: Mapping[str, object], seconds: float, heard: Callable[[Any], None] = lambda line: None
) -> Reply:
    """Runs `python -m MODULE` with the job as JSON on its standard input, so that no secret of it is in a command line or file.

    Args:
        seconds: the longest wait.
        heard: receives each JSON value as soon as the child has written it.
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
    assert child.stdin is not None
    assert child.stdout is not None
    until = time.monotonic() + seconds
    lines: list[Any] = []
    said: SimpleQueue[str | None] = SimpleQueue()
    reader = threading.Thread(target=_read, args=(child.stdout, said), daemon=True)
    try:
        reader.start()
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(job))
            child.stdin.close()
        while (line := said.get(timeout=max(0.0, until - time.monotonic()))) is not None:
            try:
                value = json.loads(line)
            except ValueError:  # cut off
                continue
            lines.append(value)
            heard(value)
        child.wait(max(0.0, until - time.monotonic()))
    except (Empty, subprocess.TimeoutExpired):
        return Reply(tuple(lines), late=True)
    finally:
        child.kill()
        child.wait()
        reader.join()
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
    return Reply(tuple(lines))


def _read(stream: IO[str], said: SimpleQueue[str | None]) -> None:
    """Passes on the lines of a stream, and None at its end."""
    for line in stream:
        said.put(line)
    said.put(None)
