"""Folders appear complete or not at all, and any damage is detected."""

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


def test_a_committed_folder_is_undamaged_and_leaves_no_scratch(folder: Path) -> None:
    assert damage(folder) is None
    assert [path.name for path in folder.parent.iterdir()] == ["abcd"]


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
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
def test_damage_is_described(folder: Path, harm: Callable[[Path], None], name: str) -> None:
    harm(folder / name)
    assert name in str(damage(folder))


def test_an_unreadable_manifest_is_damage(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"files": 3')
    assert "manifest.json cannot be read" in str(damage(folder))


def test_folders_of_earlier_versions_have_no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert damage(folder) is None


def test_folders_set_aside_keep_their_files_and_get_names_of_their_own(folder: Path) -> None:
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


def test_scratch_of_an_ended_process_is_removed(folder: Path) -> None:
    leftover = folder.with_name(".abcd.999999999")
    leftover.mkdir()
    with scratch_for(folder):
        assert not leftover.exists()
