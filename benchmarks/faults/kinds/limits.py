"""What the machine refuses: space on the disk, large files, memory, writing, a reader of what is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.faults.call import Manner
from benchmarks.faults.case import Case
from benchmarks.faults.kind import ANY, FRESH, HALF, LACKS, STOPPED, WHOLE, kind

_FULL = Path("/dev/full")
_NO_SPACE = r"space|disk|File too large|written"


def _no_mounts() -> str | None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "a small file system can be mounted by root only"
    return None


def _root_without_mounts() -> str | None:
    if os.geteuid() == 0 and shutil.which("mount") is None:
        return "root may write anywhere but to a file system that is mounted so"
    return None


def _no_full_device() -> str | None:
    return None if _FULL.exists() else "there is no /dev/full"


@kind("disk-full", starts=(FRESH, HALF), lacks=_no_mounts)
def disk_full(case: Case) -> None:
    """The disk is full from a random instant on; later there is space again."""
    _move_to_small_disk(case)
    call = case.under_way(LACKS, says=_NO_SPACE)
    filler = case.folder / "filler"
    left = int(case.between(1, 500_000, "bytes left"))
    with filler.open("wb") as stream:
        stream.truncate(0)
        free = psutil.disk_usage(str(case.folder)).free
        os.posix_fallocate(stream.fileno(), 0, max(1, free - left))
    call.end()
    filler.unlink()


@kind("file-size-limit", starts=(FRESH, HALF))
def file_size_limit(case: Case) -> None:
    """`ulimit -f`: no file may be larger than so much, from the beginning."""
    blocks = int(case.between(1, 4_000, "blocks of 512 bytes"))
    case.call(LACKS, Manner(limits=[f"-f {blocks}"]), says=_NO_SPACE)


@kind("file-size-limit-later", starts=(FRESH, HALF))
def file_size_limit_later(case: Case) -> None:
    """No file may be larger than so much, from a random instant on."""
    call = case.under_way(LACKS, says=_NO_SPACE)
    size = int(case.between(100, 2_000_000, "bytes"))
    for process in call.family():
        try:
            process.rlimit(psutil.RLIMIT_FSIZE, (size, size))
        except psutil.NoSuchProcess:
            case.landed = False


@kind("memory-limit", starts=(FRESH, HALF), same_end=False, goes_on=False)
def memory_limit(case: Case) -> None:
    """`ulimit -v`: address space of each process is limited."""
    kilobytes = int(case.between(200_000, 8_000_000, "kB"))
    case.call(ANY, Manner(limits=[f"-v {kilobytes}"]), says=r"memory|allocate|address space")


@kind("budget-memory", same_end=False, goes_on=False)
def budget_memory(case: Case) -> None:
    """A small budget.memory: trials, or the base itself, do not fit."""
    megabytes = int(case.between(1, 2_000, "MB"))
    case.words.append(f"budget.memory={megabytes}MB")
    case.call(ANY, says=r"memory")


@kind("read-only", starts=(FRESH, HALF, WHOLE), lacks=_root_without_mounts)
def read_only(case: Case) -> None:
    """mlruns cannot be written to."""
    writable = _make_read_only(case)
    case.call(LACKS, says=r"mlruns|written|rights|permission").end()
    writable()


@kind("head", starts=(FRESH, HALF))
def head(case: Case) -> None:
    """The output goes to `head`, which ends after some lines."""
    lines = case.one_of(1, 1, 2, 5, 10, 15)
    case.call(STOPPED, Manner(head=lines))


@kind("dev-full", starts=(FRESH, HALF, WHOLE), lacks=_no_full_device)
def dev_full(case: Case) -> None:
    """The output, sometimes the errors too, go to a full device."""
    both = case.one_of("stdout", "stdout", "both") == "both"
    case.call(LACKS, Manner(stdout=_FULL, stderr=_FULL if both else None), says=_NO_SPACE)


def _move_to_small_disk(case: Case) -> None:
    before = case.folder.parent / "before"
    case.folder.rename(before)
    case.folder.mkdir()
    _mount(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(case.folder)])
    case.cleanup.callback(lambda: _mount(["umount", "--lazy", str(case.folder)]))
    shutil.copytree(before, case.folder, dirs_exist_ok=True, symlinks=True)


def _mount(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _make_read_only(case: Case) -> Callable[[], None]:
    """Makes the study's `mlruns` read-only; returns what makes it writable again."""
    if os.geteuid() == 0:
        _mount(["mount", "--bind", str(case.root), str(case.root)])
        _mount(["mount", "-o", "remount,bind,ro", str(case.root)])
        mounted = case.cleanup.enter_context(ExitStack())
        mounted.callback(_mount, ["umount", "--lazy", str(case.root)])
        return mounted.close
    folders = [case.root, *(folder for folder in case.root.rglob("*") if folder.is_dir())]
    _set_mode(folders, 0o555)
    case.cleanup.callback(_set_mode, folders, 0o755)
    return lambda: _set_mode(folders, 0o755)


def _set_mode(folders: Sequence[Path], mode: int) -> None:
    for folder in folders:
        if folder.exists():
            folder.chmod(mode)
