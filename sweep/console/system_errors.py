"""Messages for errors of the operating system that the reader can fix."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from sweep.errors import EnvironmentLacks

_WAYS_OUT = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, the quota is used up",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f unlimited`)",
    errno.EROFS: "go to a folder that can be written to",
    errno.EACCES: "allow it with `chmod u+rw`, or go to a folder that can be written to",
    errno.EPERM: "allow it, or go to a folder that can be written to",
    errno.ENOTDIR: "move away the file of that name: a folder belongs there",
    errno.EEXIST: "move away the file of that name: a folder belongs there",
    errno.EISDIR: "move away the folder of that name: a file belongs there",
    errno.ENAMETOOLONG: "go to a folder with a shorter path",
    errno.EMFILE: "raise the limit on open files (`ulimit -n 4096`)",
    errno.ENFILE: "close programs: the machine has too many open files",
    errno.EIO: "check the disk: reading or writing failed",
    errno.ENOMEM: "free memory, or use fewer workers (executor.workers=1)",
    errno.EAGAIN: "raise the limit on processes (`ulimit -u`), or use fewer workers (executor.workers=1)",
}

_NUMBER_IN_TEXT = re.compile(r"\(os error (\d+)\)")


def explained(error: OSError) -> EnvironmentLacks | None:
    """The error with a way to fix it; None if there is no known way."""
    way_out = _WAYS_OUT.get(error.errno or 0)
    if way_out is None:
        return None
    place = "" if not isinstance(error.filename, str | bytes) else f"{_in_the_way(Path(os.fsdecode(error.filename)))}: "
    return EnvironmentLacks(
        f"{place}{error.strerror}; {way_out}, then run the same command again; finished trials are kept"
    )


def lack_of_machine(error: Exception) -> EnvironmentLacks | None:
    """An error that a full disk, a limit or missing permissions cause, with a way to fix it; None for any other.

    Libraries in Rust, such as safetensors, put the system's number into the text of errors of their own.
    """
    if isinstance(error, OSError):
        return explained(error)
    number = _NUMBER_IN_TEXT.search(str(error))
    return explained(OSError(int(number[1]), os.strerror(int(number[1])))) if number else None


def _in_the_way(path: Path) -> Path:
    """The file where one of the path's folders should be, else the path."""
    return next((folder for folder in path.parents if folder.is_file()), path)
