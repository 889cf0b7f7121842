"""The file that a study is packed into: a zip with a manifest of sizes and SHA-256. Nothing in it is unpickled or run.

Files of the same content are stored once. On opening, every name is checked before anything is written, no more bytes are read of a file
than the manifest says, and each is compared with its hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sweep.config.units import show_bytes
from sweep.errors import ConfigurationError, DataError, EnvironmentLacks

FORMAT, VERSION = "goldilocks-study", 1
MANIFEST = "manifest.json"
SUFFIX = ".goldilocks.zip"

MOST_FILES = 200_000
LONGEST_NAME = 400
_MOST_MANIFEST = 100 * 10**6
_CHUNK = 1 << 20
_PART = re.compile(r'[^\s/\\:*?"<>|\x00-\x1f\x7f][^/\\:*?"<>|\x00-\x1f\x7f]*')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_STORED = (".safetensors", ".png", ".gz", ".zip", ".parquet")
"""Endings of files that compression would not make smaller."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its size in bytes, and the SHA-256 of its contents in hex."""

    size: int
    sha256: str


class ArchiveWriter:
    """Adds files to an archive; see `written`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._stored: set[str] = set()
        self.entries: dict[str, Entry] = {}

    def add(self, name: str, file: Path) -> None:
        """Adds a file under a name.

        Raises:
            DataError: the file changed meanwhile.
            OSError: it cannot be read, or the archive cannot be written.
        """
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = file.stat().st_size
        self._note(name, Entry(size, digest))
        if digest in self._stored:
            return
        about = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
        about.external_attr = 0o644 << 16
        about.compress_type = zipfile.ZIP_STORED if file.suffix in _STORED else zipfile.ZIP_DEFLATED
        copied = hashlib.sha256()
        with file.open("rb") as stream, self._archive.open(about, "w", force_zip64=True) as target:
            while chunk := stream.read(_CHUNK):
                copied.update(chunk)
                target.write(chunk)
        if copied.hexdigest() != digest:
            raise DataError(f"{file} was changed while it was packed; run the same command again")
        self._stored.add(digest)

    def add_text(self, name: str, text: str) -> None:
        """Adds a file with this text."""
        contents = text.encode()
        self._note(name, Entry(len(contents), hashlib.sha256(contents).hexdigest()))
        if self.entries[name].sha256 not in self._stored:
            self._archive.writestr(name, contents, zipfile.ZIP_DEFLATED)
            self._stored.add(self.entries[name].sha256)

    def _note(self, name: str, entry: Entry) -> None:
        check_name(name)
        self.entries[name] = entry
        if len(self.entries) > MOST_FILES:
            raise DataError(f"the study has more than {MOST_FILES:,} files; pack it with weights=chosen")


@contextmanager
def written(file: Path, about: Mapping[str, Any]) -> Iterator[ArchiveWriter]:
    """Writes an archive under a temporary name, and renames it at the end of the block; if the block raises, nothing is left.

    Args:
        about: what the manifest says beside format, version and files.

    Raises:
        OSError: the archive cannot be written.
    """
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as stream:
            with zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
                writer = ArchiveWriter(archive)
                yield writer
                files = {name: {"size": each.size, "sha256": each.sha256} for name, each in writer.entries.items()}
                manifest = {"format": FORMAT, "version": VERSION, **about, "files": files}
                archive.writestr(MANIFEST, json.dumps(manifest, indent=1), zipfile.ZIP_DEFLATED)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


class Archive:
    """An archive that was opened, whose names, sizes and counts are within bounds.

    Attributes:
        about: what the manifest says beside the files.
        entries: the files by name.
    """

    def __init__(self, archive: zipfile.ZipFile, manifest: Mapping[str, Any], shown: str) -> None:
        self._archive = archive
        self._shown = shown
        self.about = {key: value for key, value in manifest.items() if key != "files"}
        self.entries = {name: Entry(each["size"], each["sha256"]) for name, each in manifest["files"].items()}
        stored = {info.filename for info in archive.infolist()}
        self._member = {each.sha256: name for name, each in self.entries.items() if name in stored}

    @property
    def size(self) -> int:
        """Bytes of all files once they are unpacked."""
        return sum(each.size for each in self.entries.values())

    def text(self, name: str) -> str:
        """A file as text.

        Raises:
            DataError: it is missing or damaged.
        """
        if name not in self.entries:
            raise DataError(f"{self._shown}: {name} is missing")
        try:
            return b"".join(self._chunks(name)).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self._shown}: {name} is not text") from error

    def unpack(self, name: str, target: Path) -> None:
        """Writes a file; the folder is made if it does not exist.

        Raises:
            DataError: it is damaged.
            OSError: it cannot be written.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            for chunk in self._chunks(name):
                stream.write(chunk)

    def _chunks(self, name: str) -> Iterator[bytes]:
        """The contents, which are right if this ends without an error."""
        entry = self.entries[name]
        damaged = DataError(
            f"{self._shown}: {name} is damaged: it is not what the manifest says; copy the archive again"
        )
        member = self._member.get(entry.sha256)
        if member is None:
            raise damaged
        digest, left = hashlib.sha256(), entry.size
        try:
            with self._archive.open(member) as stream:
                while chunk := stream.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise damaged
                    digest.update(chunk)
                    yield chunk
        except _UNREADABLE as error:
            raise damaged from error
        if left or digest.hexdigest() != entry.sha256:
            raise damaged


_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError)
"""What `zipfile` raises where a file is damaged, encrypted or compressed in an unknown way."""
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def opened(file: Path, most_bytes: int) -> Iterator[Archive]:
    """Opens an archive and checks its manifest; nothing is unpacked.

    Args:
        most_bytes: bytes that its files may have in all.

    Raises:
        ConfigurationError: there is no such file.
        DataError: it is not an archive of a study, is damaged, or is larger than allowed.
        EnvironmentLacks: it was packed by a later version.
    """
    if not file.is_file():
        raise ConfigurationError(f"open={file}: there is no such file")
    try:
        archive = zipfile.ZipFile(file)
    except (*_UNREADABLE, OSError) as error:
        raise DataError(f"{file} is not an archive of a study, or is damaged ({error}); copy it again") from error
    with archive:
        yield Archive(archive, _checked_manifest(archive, str(file), most_bytes), str(file))


def check_name(name: str) -> None:
    """Checks that a name leads to a place inside the folder that it is put into, on every system.

    Raises:
        DataError: it does not.
    """
    if not is_safe(name):
        raise DataError(f"the name {name[:100]!r} cannot be in an archive: it could lead out of its folder")


def is_safe(name: str) -> bool:
    """Whether a name leads to a place inside the folder that it is put into, on every system."""
    parts = name.split("/")
    plain = all(
        _PART.fullmatch(part) and not _RESERVED.fullmatch(part) and not part.endswith((".", " ")) for part in parts
    )
    return plain and len(name) <= LONGEST_NAME and len(parts) <= 20


def _checked_manifest(archive: zipfile.ZipFile, shown: str, most_bytes: int) -> Mapping[str, Any]:
    infos = archive.infolist()
    if len(infos) > MOST_FILES + 1:
        raise DataError(f"{shown} has more than {MOST_FILES:,} files, so it was not packed by this program")
    if any(info.compress_type not in _COMPRESSIONS for info in infos):
        raise DataError(
            f"{shown} is damaged, or was not packed by this program: it is compressed in another way; copy it again"
        )
    listed = [info for info in infos if info.filename == MANIFEST]
    if len(listed) != 1 or listed[0].file_size > _MOST_MANIFEST:
        raise DataError(f"{shown} is not an archive of a study: it has no {MANIFEST}")
    try:
        with archive.open(listed[0]) as stream:
            manifest = json.loads(_at_most(stream, _MOST_MANIFEST))
        files: Mapping[str, Any] = manifest["files"]
        kind, version = manifest["format"], manifest["version"]
        sizes = [each["size"] for each in files.values()]
        hashes = [each["sha256"] for each in files.values()]
        well_formed = all(type(size) is int and size >= 0 for size in sizes) and all(map(_is_sha256, hashes))
    except (*_UNREADABLE, TypeError, AttributeError) as error:
        raise DataError(f"{shown}: {MANIFEST} is damaged ({type(error).__name__}); copy the archive again") from error
    if kind != FORMAT or not well_formed:
        raise DataError(f"{shown} is not an archive of a study: {MANIFEST} is of another kind")
    if version != VERSION:
        raise EnvironmentLacks(
            f"{shown} was packed by a later version of this program (format {version}): install that"
        )
    for name in files:
        check_name(name)
    _check_collisions(list(files), shown)
    if len(files) > MOST_FILES or sum(sizes) > most_bytes:
        raise DataError(
            f"{shown} holds {show_bytes(sum(sizes))} in {len(files):,} files, more than the {show_bytes(most_bytes)} that are allowed; if "
            "you trust it: limit=SIZE, for example limit=100GB"
        )
    return dict(manifest)


def _check_collisions(names: Sequence[str], shown: str) -> None:
    """Some systems take `A` and `a` for one file; nothing may be a file and a folder."""
    folded = {name.casefold() for name in names}
    folders = {"/".join(parts[:end]) for parts in (name.split("/") for name in folded) for end in range(1, len(parts))}
    if len(folded) < len(names) or folders & folded:
        raise DataError(f"{shown} has two files of one name, so it was not packed by this program")


def _is_sha256(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def _at_most(stream: IO[bytes], count: int) -> bytes:
    contents = stream.read(count + 1)
    if len(contents) > count:
        raise ValueError("too large")
    return contents
