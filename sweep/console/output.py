"""Standard output and error that outlive their reader: a study goes on if nobody can read what it prints any more."""

from __future__ import annotations

import errno
import io
import os
import sys

_READER_GONE = (errno.EPIPE, errno.EIO)
"""The reader has read enough (`| head`), or the terminal was closed: nobody is there to be told."""


class LastingFile(io.FileIO):
    """A file descriptor that is written to until that fails, and then takes everything and keeps nothing.

    Attributes:
        lost: why it failed the first time; None while it has not.
    """

    lost: OSError | None = None

    def write(self, data: object) -> int:
        """See `io.FileIO.write`."""
        if self.lost is None:
            try:
                return super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes  # type: ignore[arg-type]


def make_lasting() -> None:
    """Standard output and error of this process, where they are what the process was started with."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        try:
            file = LastingFile(stream.fileno(), "wb", closefd=False)
            stream.flush()
        except OSError:
            continue
        lasting = io.TextIOWrapper(
            io.BufferedWriter(file),
            encoding=stream.encoding,
            # a plain locale (LANG=C) has no word for half of what is printed: better a question mark than an error
            errors=stream.errors if stream.encoding.lower().startswith("utf") else "replace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, lasting)


def lost_output() -> str | None:
    """Why standard output could not be written, in words; None if it could, or if its reader did not want more."""
    stream = sys.stdout
    if stream is None:
        return None
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(raw, LastingFile) or raw.lost is None or raw.lost.errno in _READER_GONE:
        return None
    return os.strerror(raw.lost.errno or 0)
