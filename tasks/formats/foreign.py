"""Files of forms that are not read: what they are, by their first bytes, and how to make them readable."""

from __future__ import annotations

_COMPRESSED = "; unpack it first, or compress it with gzip or zstd"
_EXPORT = "; export the rows as CSV, JSON lines or Parquet"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "is a zip archive or an Excel workbook; unpack the archive, or save the sheet as CSV"),
    (b"PK\x05\x06", "is an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook of an early Excel; save the sheet as CSV"),
    (b"BZh", f"is compressed with bzip2{_COMPRESSED}"),
    (b"\xfd7zXZ\x00", f"is compressed with xz{_COMPRESSED}"),
    (b"\x04\x22\x4d\x18", f"is compressed with lz4{_COMPRESSED}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive{_COMPRESSED}"),
    (b"Rar!", f"is a rar archive{_COMPRESSED}"),
    (b"\x1f\x8b", "is compressed twice with gzip; unpack it once"),
    (b"\x28\xb5\x2f\xfd", "is compressed twice, the second time with zstd; unpack it once"),
    (b"PARE", "is encrypted Parquet; write it without encryption"),
    (
        b"ARROW1",
        f"is an Arrow file{_EXPORT}, or read the folder that `datasets` saved with task=hub task.dataset=FOLDER",
    ),
    (b"SQLite format 3\x00", f"is an SQLite database{_EXPORT}"),
    (b"\x89HDF", f"is an HDF5 file{_EXPORT}"),
    (b"\x93NUMPY", f"is a NumPy array{_EXPORT}"),
    (b"Obj\x01", f"is an Avro file{_EXPORT}"),
    (b"ORC", f"is an ORC file{_EXPORT}"),
    (b"%PDF", f"is a PDF{_EXPORT}"),
    (b"version https://git-lfs.github.com/", "is a Git LFS pointer in place of the file; fetch it with git lfs pull"),
    (b"<!DOCTYPE", f"is a web page{_EXPORT}; a download may have ended at a page that asks to log in"),
    (b"<html", f"is a web page{_EXPORT}; a download may have ended at a page that asks to log in"),
    (b"<?xml", f"is XML{_EXPORT}"),
)
_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_TAR, _TAR_AT = b"ustar", 257


def foreign(head: bytes) -> str | None:
    """Describes a file that cannot be read, by its beginning (decompressed); None if it may be readable."""
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "is a tar archive; unpack it, and set task.path to the file or folder in it"
    if head.startswith(_PICKLES):
        return f"is a Python pickle{_EXPORT}; pickles are never loaded, because they can run code"
    return None
