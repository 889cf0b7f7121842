"""What a process gives up before it runs code that nobody has read. Linux; standard library only.

A filter in the kernel (seccomp) lets through the few system calls that computing needs: memory, clocks, locks, randomness, reading and
writing of files that are open already. All others fail, as do those of another architecture: no file is opened, looked at, changed or
removed, no socket made, no process or thread started, no other process signalled or traced, no limit raised. A process cannot take the
filter off again, and any user may put it on, in containers too. Python itself is no wall: its own ways to restrict code have always been
got round, so none are used.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_SET_PARENT_DEATH_SIGNAL = 1
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO
_LOAD, _JUMP_IF_EQUAL, _RETURN = (
    0x20,
    0x15,
    0x06,
)  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0, "write": 1, "close": 3, "lseek": 8, "pread64": 17,
            "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "madvise": 28,
            "rt_sigprocmask": 14, "rt_sigreturn": 15, "restart_syscall": 219, "sched_yield": 24, "futex": 202,
            "clock_gettime": 228, "clock_getres": 229, "gettimeofday": 96, "time": 201, "getrandom": 318,
            "getpid": 39, "gettid": 186, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108,
            "exit": 60, "exit_group": 231,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "read": 63, "write": 64, "close": 57, "lseek": 62, "pread64": 67,
            "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214, "mremap": 216, "madvise": 233,
            "rt_sigprocmask": 135, "rt_sigreturn": 139, "restart_syscall": 128, "sched_yield": 124, "futex": 98,
            "clock_gettime": 113, "clock_getres": 114, "gettimeofday": 169, "getrandom": 278,
            "getpid": 172, "gettid": 178, "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177,
            "exit": 93, "exit_group": 94,
        },
    ),
}  # fmt: skip
"""By machine, the architecture's number in linux/audit.h, and the numbers of the system calls that are let through."""


def limit(cpu_seconds: int, memory: int) -> None:
    """Limits what this process may use of processor and memory; it writes no file and no core.

    macOS has no limit of memory that holds.
    """
    for what, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        if sys.platform != "darwin" or what != resource.RLIMIT_AS:
            resource.setrlimit(what, (most, most))


def die_with_parent() -> None:
    """The kernel kills this process when its parent ends."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def close() -> None:
    """Puts the filter on this process, for good.

    Raises:
        OSError: this machine has no such filter.
    """
    program = _program()
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    described = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(code)))
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(described))


def missing() -> str | None:
    """Why this machine cannot wall code in, found by trying it in a child process; None if it can."""
    try:
        _program()  # made here, its children need not make it again
    except OSError as error:
        return str(error)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            close()
            said = "" if all(map(_is_refused, _ATTEMPTS)) else "the kernel does not apply the filter"
        except BaseException as error:
            said = str(error) or type(error).__name__
        os.write(writer, (said or "closed").encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096).decode(errors="replace")
    os.close(reader)
    os.waitpid(child, 0)
    return None if said == "closed" else said or "the process that tried it was killed"


_ATTEMPTS: tuple[Callable[[], object], ...] = (
    lambda: os.open(os.sep, os.O_RDONLY),
    lambda: Path(os.sep).stat(),
    lambda: os.kill(os.getppid(), 0),
    os.pipe,
)


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    return False


@functools.cache
def _program() -> bytes:
    """The filter as classic BPF: the architecture, then the numbers of system calls one after another.

    Raises:
        OSError: their numbers are not known here.
    """
    if sys.platform != "linux" or sys.maxsize < 2**32 or platform.machine() not in _CALLS:
        raise OSError(f"{sys.platform} on {platform.machine()} is none of Linux on {', '.join(_CALLS)}")
    architecture, calls = _CALLS[platform.machine()]
    lines = [_instruction(_LOAD, _ARCHITECTURE), _instruction(_JUMP_IF_EQUAL, architecture, 1, 0)]
    lines += [_instruction(_RETURN, _KILL), _instruction(_LOAD, _NUMBER)]
    # each number that is equal jumps over those that follow, and over the refusal
    for left, number in zip(range(len(calls), 0, -1), calls.values(), strict=True):
        lines.append(_instruction(_JUMP_IF_EQUAL, number, left, 0))
    lines += [_instruction(_RETURN, _FAIL | 1), _instruction(_RETURN, _ALLOW)]  # 1: EPERM
    return b"".join(lines)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    libc = _libc()
    if libc.prctl(ctypes.c_int(option), *words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refuses prctl({option}): {os.strerror(number)}")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
