"""How a worker's process ended: by the kernel, a signal, bitsandbytes, or by itself."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import EnvironmentLacks
from sweep.training.device_errors import is_device_failure, is_out_of_memory

_SAID_BY_BITSANDBYTES = re.compile(r"^Error (.+) at line \d+ in file ", re.MULTILINE)
"""What bitsandbytes prints when a call of CUDA fails; then it ends the process, so that there is no exception to catch."""

_EXIT_OF_BITSANDBYTES = 1

_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker's process.

    Attributes:
        text: the rest of a sentence about the worker.
        out_of_memory: whether memory ran out: the kernel killed the process for it, or bitsandbytes ended it.
        device_failed: see `sweep.training.device_errors.is_device_failure`.
        killed: whether a signal killed it, the kernel's for lack of memory included; else it ended by itself.
    """

    text: str
    out_of_memory: bool = False
    device_failed: bool = False
    killed: bool = False


def death_of(code: int | None, oom_kills: int, log: Path, since: int) -> Death:
    """How a process ended.

    Args:
        code: its exit code, minus the signal's number if a signal killed it.
        oom_kills: processes of its control group that the kernel has killed for lack of memory since it was given its latest trial.
        log: the file to which it, and workers beside it, wrote their output.
        since: size of the log when it was started.
    """
    if code == -signal.SIGKILL and oom_kills > 0:
        return Death("was killed by the system", out_of_memory=True, killed=True)
    if code is not None and code < 0:
        return Death(f"was killed by signal {-code} ({signal.Signals(-code).name})", killed=True)
    said = _SAID_BY_BITSANDBYTES.findall(_tail(log, since)) if code == _EXIT_OF_BITSANDBYTES else []
    if not said:
        return Death(f"ended with exit code {code}")
    error = RuntimeError(f"CUDA error: {said[-1]}")
    text = f"was ended by bitsandbytes ({error})"
    return Death(text, out_of_memory=is_out_of_memory(error), device_failed=is_device_failure(error))


def died_loading(death: Death, before: Death | None, log: Path) -> EnvironmentLacks:
    """The error that says how the first worker died while it loaded its setup.

    Args:
        before: the death of the worker that was there before it and that was killed while it loaded; None if there was none.
        log: the file to which they wrote their output.
    """
    what = f"the worker {death.text} while it loaded the base model"
    if before is not None:
        what += ", twice in a row" if before == death else f"; the one before it {before.text}"
    if death.out_of_memory or (before is not None and before.out_of_memory):
        what += "; memory ran out: choose quant=nf4 or a smaller model, lower executor.workers, or end other programs"
    return EnvironmentLacks(f"{what}; its output is in {log}")


def log_size(log: Path) -> int:
    """Bytes in the log; 0 if there is none yet."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def oom_kills(root: Path = Path("/")) -> int:
    """Number of processes in this process's control group that the kernel has killed for lack of memory; 0 where it does not say.

    `/proc/vmstat` counts the kills of the whole host, in other containers as well. A group counts its own, whether its limit or the
    machine's memory was reached: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files

    Args:
        root: the folder that has `proc` and `sys`.
    """
    for file in _kill_counters(root):
        try:
            for line in file.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        except OSError:
            continue
    return 0


def _kill_counters(root: Path) -> Iterator[Path]:
    """Files that may count the kills, the best one first."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in groups:  # ID:CONTROLLERS:PATH, without controllers in version 2
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mounted / "memory" if controllers else mounted
        group = top / path.lstrip("/")
        if not group.is_dir():  # a container that is given the host's path sees its own group as the top
            group = top
        names = ("memory.oom_control",) if controllers else ("memory.events.local", "memory.events")
        yield from (group / name for name in names)


def _tail(log: Path, since: int) -> str:
    """The end of what was written to the log since it had this size."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(since, log_size(log) - _READ_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
