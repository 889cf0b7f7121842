"""Folders appear whole or not at all, and damage is noticed, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.store.whole_folder import MANIFEST, commit, damage, scratch_for, set_aside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "ab" / "abcd"
    with scratch_for(place) as scratch:
        (scratch / "result.json").write_text("{}")
        (scratch / "adapter").mkdir()
        (scratch / "adapter" / "weights.safetensors").write_bytes(bytes(range(200)))
        commit(scratch, place)
    return place


def test_a_committed_folder_is_whole_and_leaves_no_scratch(folder: Path) -> None:
    assert damage(folder) is None
    assert [path.name for path in folder.parent.iterdir()] == ["abcd"]


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scratch_for(tmp_path / "ab" / "abcd") as scratch:
            (scratch / "result.json").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "ab").iterdir()) == []


def remove(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [remove, truncate, flip])
@pytest.mark.parametrize("name", ["result.json", "adapter/weights.safetensors"])
def test_damage_is_named(folder: Path, harm: Callable[[Path], None], name: str) -> None:
    harm(folder / name)
    assert name in str(damage(folder))


def test_a_manifest_that_cannot_be_read_is_damage(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"files": 3')
    assert "manifest.json cannot be read" in str(damage(folder))


def test_folders_of_earlier_versions_have_no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert damage(folder) is None


def test_set_aside_folders_keep_their_files_and_do_not_meet(folder: Path) -> None:
    first = set_aside(folder)
    folder.mkdir()
    second = set_aside(folder)
    assert first != second
    assert (first / "result.json").exists()
    assert not folder.exists()


def test_the_first_of_two_processes_wins_and_a_damaged_folder_is_replaced(folder: Path) -> None:
    with scratch_for(folder) as scratch:
        (scratch / "result.json").write_text('{"second": 1}')
        commit(scratch, folder)
    assert (folder / "result.json").read_text() == "{}"
    truncate(folder / "result.json")
    with scratch_for(folder) as scratch:
        (scratch / "result.json").write_text('{"third": 1}')
        commit(scratch, folder)
    assert (folder / "result.json").read_text() == '{"third": 1}'
    assert damage(folder) is None


def test_scratch_of_a_process_that_is_gone_is_removed(folder: Path) -> None:
    leftover = folder.with_name(".abcd.999999999")
    leftover.mkdir()
    with scratch_for(folder):
        assert not leftover.exists()
