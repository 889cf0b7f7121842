"""Standard output and error that survive their reader: a study goes on when its output can no longer be written."""

from __future__ import annotations

import errno
import io
import os
import sys

_READER_GONE = (errno.EPIPE, errno.EIO)
"""The reader ended (`| head`), or the terminal was closed."""


_ERRORS = {"strict": "backslashreplace"}
"""Names of files and columns may hold halves of surrogate pairs, which have no form in UTF-8."""


class LossyFile(io.FileIO):
    """A file descriptor that discards what is written after the first error.

    Attributes:
        lost: the first error; None if there was none.
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


def survive_lost_output() -> None:
    """Replaces standard output and error, unless somebody else has replaced them already."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        try:
            file = LossyFile(stream.fileno(), "wb", closefd=False)
            stream.flush()
        except OSError:
            continue
        replacement = io.TextIOWrapper(
            io.BufferedWriter(file),
            encoding=stream.encoding,
            # a plain locale (LANG=C) lacks many characters: print question marks instead of failing
            errors=_ERRORS.get(stream.errors, stream.errors)
            if stream.encoding.lower().startswith("utf")
            else "replace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, replacement)


def lost_output() -> str | None:
    """Why standard output could not be written; None if it could, or if its reader ended."""
    stream = sys.stdout
    if stream is None:
        return None
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(raw, LossyFile) or raw.lost is None or raw.lost.errno in _READER_GONE:
        return None
    return os.strerror(raw.lost.errno or 0)
