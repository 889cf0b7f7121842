"""Runs in a process of its own, `python -I -S server.py`: forks one child per answer, and relays what that child says.

It runs no code of answers itself, and its children can reach neither it nor one another. None of them knows the expected values:
they are given expressions and report their values.

The conversation, a line of JSON each: settings, `{"missing": ...}`; then for each answer its code, `{"ran": ...}`, and if it ran the
expressions, `{"said": ...}`: the child's own lines, unread.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import Any, BinaryIO

MODULES = """
_strptime abc array base64 bisect calendar cmath collections.abc contextlib copy csv dataclasses datetime decimal enum fractions
functools hashlib heapq hmac html inspect io itertools json locale math numbers operator os pathlib random re secrets statistics
string struct textwrap threading time traceback types typing unicodedata urllib.parse uuid zlib
"""
"""What answers may import beside the task's own modules: what snippets usually need."""

_IN, _OUT = 3, 4
_MOST_FILES = 64
_RAN = b"\n"


def main() -> None:
    """Serves until its input ends."""
    inlet: BinaryIO = os.fdopen(os.dup(0), "rb")
    outlet = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    settings = json.loads(inlet.readline())
    walls, namespace, missing = _prepared(settings)
    _say(outlet, {"missing": missing})
    if missing is not None:
        return
    gc.collect()
    gc.freeze()  # a collection in a child would copy the memory that it shares
    for line in inlet:
        child, reader, writer = _started(json.loads(line)["code"], namespace, walls, settings)
        deadline = time.monotonic() + settings["seconds"]
        try:
            ran = _read(reader, len(_RAN), deadline) == _RAN
            _say(outlet, {"ran": ran})
            if ran:
                _send(writer, inlet.readline())
                _say(outlet, {"said": _read(reader, settings["output"], deadline).decode(errors="replace")})
        finally:
            os.close(reader)
            os.close(writer)
            _end(child)


def _prepared(settings: dict[str, Any]) -> tuple[Any, dict[str, Any], str | None]:
    """The module of walls, the names that answers find, and why answers cannot be run, if they cannot."""
    own = list(sys.path)
    sys.path.insert(0, settings["here"])
    walls = importlib.import_module("walls")
    walls.die_with_parent()
    sys.path[:] = [*settings["folders"], *own]
    namespace: dict[str, Any] = {"__name__": "__answer__"}
    try:
        for name in (*MODULES.split(), *settings["modules"]):
            importlib.import_module(name)
        exec(compile(settings["setup"], "<setup>", "exec"), namespace)  # noqa: S102 the task's own code
    except BaseException as error:
        return walls, namespace, f"the setup failed: {type(error).__name__}: {error}"
    sys.path[:] = own
    lacking = None if settings["unsafe"] else walls.missing()
    return walls, namespace, None if lacking is None else f"there is no wall on this machine: {lacking}"


def _started(code: str, namespace: dict[str, Any], walls: Any, settings: dict[str, Any]) -> tuple[int, int, int]:
    """A child that runs the code: its number, where its words are read, and where it is written to."""
    to_child, writer = os.pipe()
    reader, from_child = os.pipe()
    child = os.fork()
    if child:
        os.close(to_child)
        os.close(from_child)
        return child, reader, writer
    leave = os._exit  # which an answer may replace
    try:
        os.setsid()
        walls.die_with_parent()
        # by way of higher numbers, as the pipes may have the two that are wanted
        for number, target in [(os.dup(to_child), _IN), (os.dup(from_child), _OUT)]:
            os.dup2(number, target)
        os.closerange(_OUT + 1, _MOST_FILES)
        walls.limit(settings["cpu_seconds"], settings["memory"])
        if not settings["unsafe"]:
            walls.close()
        _run(code, namespace)
    finally:
        leave(1)


def _run(code: str, namespace: dict[str, Any]) -> None:
    """In the child: runs the code, and writes the value of each expression on a line."""
    write, read, dumps, loads = os.write, os.read, json.dumps, json.loads
    exec(compile(code, "<answer>", "exec"), namespace)  # noqa: S102 behind the walls
    write(_OUT, _RAN)
    asked = b""
    while not asked.endswith(b"\n"):
        asked += read(_IN, 2**16)
    for expression in loads(asked):
        try:
            said = dumps({"gives": eval(expression, namespace)}, sort_keys=True)  # noqa: S307 behind the walls
        except BaseException as error:
            said = dumps({"raises": type(error).__name__})
        write(_OUT, said.encode() + b"\n")


def _read(reader: int, most: int, deadline: float) -> bytes:
    """What the child writes, until it ends, has written `most` bytes or the time is up."""
    told = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while len(told) < most and (left := deadline - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            piece = os.read(reader, most - len(told))
            if not piece:
                break
            told += piece
    return told


def _send(writer: int, text: bytes) -> None:
    """To a child, which may be gone; the text fits into the pipe, so that a child that does not read stops nobody."""
    try:
        os.write(writer, text)
    except BrokenPipeError:
        return


def _end(child: int) -> None:
    """Kills the child and whatever it has started, which only happens without walls."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            continue
    os.waitpid(child, 0)


def _say(outlet: int, message: dict[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(outlet, line) :]


if __name__ == "__main__":
    main()
