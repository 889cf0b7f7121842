"""The champion's history on disk: `mlruns/champions/STUDY/0001`, `0002`, ..., one whole folder per entry, and a link to what is in use.

An entry is written beside its place and renamed, adapter included, so that it is there or it is not (`whole_folder`). Nothing is ever
changed or deleted: the last entry says which version is in use. The link `adapter` follows from it and is set again by every call.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records.champion import ChampionEntry
from sweep.store.locks import held
from sweep.store.paths import ORIGIN, Paths
from sweep.store.whole_folder import commit, damage, scratch_for, set_aside
from tasks.versions import DataVersion

ENTRY = "entry.json"
ROWS = "rows.json"
ADAPTER = "adapter"
_CONFIG = "adapter_config.json"
_PATIENCE_SECONDS = 60.0
_NUMBER = re.compile(r"\d{4,}")


class Champions:
    """The history of one study's champion."""

    def __init__(self, paths: Paths, study: str) -> None:
        self._paths = paths
        self._study = study

    def entries(self) -> list[ChampionEntry]:
        """All entries, in order.

        Raises:
            EnvironmentLacks: an entry cannot be read, or one is missing.
        """
        folder = self._paths.champions(self._study)
        numbers = sorted(int(each.name) for each in folder.glob("*") if _NUMBER.fullmatch(each.name))
        for place, number in enumerate(numbers, start=1):
            if place != number:
                missing = self._paths.champion_entry(self._study, place)
                raise EnvironmentLacks(
                    f"{missing} is missing; the tests that were made cannot be counted without it: restore it from a backup"
                )
        return [self._read(number) for number in numbers]

    def current(self) -> ChampionEntry | None:
        """The last entry, whose `version` is in use; None without a history."""
        entries = self.entries()
        return entries[-1] if entries else None

    def adapter(self, version: int) -> Path:
        """The adapter of a version, in PEFT's format.

        Raises:
            ConfigurationError: there is no such version.
            EnvironmentLacks: its files are not what was written.
        """
        folder = self._version_folder(version)
        if (wrong := damage(folder, earlier_versions=False)) is not None:
            raise EnvironmentLacks(
                f"{folder}: version {version} of the champion is damaged ({wrong}); restore it from a backup, or take another "
                f"version into use: `{self.way_out_of(version)}`"
            )
        return folder / ADAPTER

    def way_out_of(self, version: int) -> str:
        """The command that takes another version into use: the latest that is whole and not in use, else the study's verdict."""
        entries = self.entries()
        others = [
            entry.number
            for entry in entries
            if entry.brings_adapter and entry.number not in (version, entries[-1].version)
        ]
        folders = ((number, self._paths.champion_entry(self._study, number)) for number in reversed(others))
        whole = (number for number, folder in folders if damage(folder, earlier_versions=False) is None)
        other = next(whole, None)
        return f"python -m sweep.champion study={self._study} {f'to={other}' if other is not None else 'adopt=true'}"

    def rows(self, version: int) -> DataVersion:
        """The hashes of the rows that a version was trained and judged on.

        Raises:
            ConfigurationError: there is no such version.
            EnvironmentLacks: they cannot be read.
        """
        file = self._version_folder(version) / ROWS
        try:
            return DataVersion.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(file, error) from error

    def append(
        self, entry: ChampionEntry, *, adapter: Path | None = None, rows: DataVersion | None = None
    ) -> ChampionEntry:
        """Adds an entry, as one transaction; returns it as written.

        Args:
            entry: its number is the one after the last entry that its decision was made from; an entry that brings an adapter gets its
                own number as version.
            adapter: the folder of the adapter that it brings.
            rows: the hashes of the rows that the adapter was trained and judged on.

        Raises:
            ConfigurationError: another process has added an entry since.
            ValueError: an adapter or its rows are missing, or are there and should not be.
            EnvironmentLacks: another process holds the lock for a minute.
        """
        if entry.brings_adapter != (adapter is not None) or entry.brings_adapter != (rows is not None):
            raise ValueError(f"{entry.event.value}: an adapter and its rows come with a verdict or a promotion alone")
        with self._locked():
            last = self.current()
            if entry.number != (last.number if last else 0) + 1:
                raise ConfigurationError(
                    f"study={self._study}: its champion was changed by another process meanwhile; run the same command again"
                )
            if entry.brings_adapter:
                entry = replace(entry, version=entry.number)
            elif not any(each.number == entry.version and each.brings_adapter for each in self.entries()):
                raise ConfigurationError(f"study={self._study}: there is no version {entry.version}")
            folder = self._paths.champion_entry(self._study, entry.number)
            with scratch_for(folder) as scratch:
                if adapter is not None and rows is not None:
                    shutil.copytree(adapter, scratch / ADAPTER)
                    _write(scratch / ROWS, rows.to_json())
                _write(scratch / ENTRY, entry.to_json())
                commit(scratch, folder)
        self.link()
        return entry

    def link(self) -> Path | None:
        """Points the link at the adapter in use, if it does not yet; returns the link, or the adapter where links cannot be made.

        None without a history.
        """
        current = self.current()
        if current is None:
            return None
        link = self._paths.champion_link(self._study)
        target = Path(self._paths.champion_entry(self._study, current.version).name, ADAPTER)
        with suppress(OSError):
            if link.readlink() == target:
                return link
        for leftover in link.parent.glob(f".{ADAPTER}.*"):
            process = leftover.name.rpartition(".")[2]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                leftover.unlink(missing_ok=True)
        fresh = link.with_name(f".{ADAPTER}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target, target_is_directory=True)
            if link.is_dir() and not link.is_symlink():  # a copy that followed the link made a folder of it
                set_aside(link)
            fresh.replace(link)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            return self._paths.champion_entry(self._study, current.version) / ADAPTER
        return link

    @property
    def place(self) -> Path | None:
        """The path that leads to the adapter in use, without setting the link; None without a history."""
        current, link = self.current(), self._paths.champion_link(self._study)
        if current is None:
            return None
        folder = self._paths.champion_entry(self._study, current.version) / ADAPTER
        return link if link.is_symlink() and link.resolve() == folder.resolve() else folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._paths.champions_lock(self._study)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with held(lock, "another process changes the champion of this study", seconds=_PATIENCE_SECONDS):
            yield

    def _version_folder(self, version: int) -> Path:
        versions = [entry.number for entry in self.entries() if entry.brings_adapter]
        if version not in versions:
            known = ", ".join(map(str, versions)) or "none yet"
            raise ConfigurationError(
                f"study={self._study}: there is no version {version} of its champion (known: {known})"
            )
        return self._paths.champion_entry(self._study, version)

    def _read(self, number: int) -> ChampionEntry:
        file = self._paths.champion_entry(self._study, number) / ENTRY
        try:
            entry = ChampionEntry.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(file, error) from error
        if entry.number != number:
            raise EnvironmentLacks(f"{file} is of entry {entry.number}; restore it from a backup")
        return entry


@contextmanager
def challenger_folder(previous: Path, source: Path, entry: ChampionEntry, beside: Path) -> Iterator[Path]:
    """A folder with a challenger's adapter, as self-contained as the champion's; removed at the end of the block.

    Args:
        previous: the champion's, from which tokenizer and the name of the base are taken.
        source: the challenger's adapter as the worker left it.
        beside: the folder of the history.
    """
    with scratch_for(beside / "challenger") as scratch:
        folder = scratch / ADAPTER
        ignored = shutil.ignore_patterns("README.md", "*.safetensors", _CONFIG, ORIGIN)
        shutil.copytree(previous, folder, ignore=ignored)
        copy_adapter(source, folder)
        if (folder / _CONFIG).is_file() and (previous / _CONFIG).is_file():
            named = json.loads((previous / _CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
            config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
            _write(folder / _CONFIG, {**config, "base_model_name_or_path": named})
        origin = json.loads((previous / ORIGIN).read_text(encoding="utf-8")) if (previous / ORIGIN).is_file() else {}
        of_challenger = {"rank": entry.rank, "seed": entry.training.get("seed"), "data_sha256": entry.data_hash}
        _write(folder / ORIGIN, {**origin, "status": "promoted", "trial": entry.trial, "run_id": None, **of_challenger})
        (folder / "README.md").write_text(
            f"# Version {entry.number} of the champion of {origin.get('study', 'a study')}\n\n"
            f"Promoted on {entry.created[:10]}: {entry.reason}. Base: {origin.get('base_model', 'see adapter_config.json')}.\n",
            encoding="utf-8",
        )
        yield folder


def copy_adapter(source: Path, target: Path) -> None:
    """Copies the configuration and weights of an adapter, or of a whole model, into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (*source.glob("*.safetensors"), *source.glob("*config.json"), *source.glob(ORIGIN)):
        if not file.name.startswith("tokenizer"):
            shutil.copyfile(file, target / file.name)


def same_weights(first: Path, second: Path) -> bool:
    """Whether two folders hold the same weights."""
    names = [sorted(file.name for file in folder.glob("*.safetensors")) for folder in (first, second)]
    return names[0] == names[1] and all(filecmp.cmp(first / name, second / name, shallow=False) for name in names[0])


def _unreadable(file: Path, error: Exception) -> EnvironmentLacks:
    return EnvironmentLacks(f"{file} cannot be read ({type(error).__name__}); restore it from a backup")


def _write(file: Path, contents: object) -> None:
    file.write_text(json.dumps(contents, indent=1, allow_nan=False) + "\n", encoding="utf-8")
