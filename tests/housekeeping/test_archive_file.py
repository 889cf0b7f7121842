"""The file that a study is packed into: what is not what the manifest says, or leads elsewhere, is refused before anything is written."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import ConfigurationError, DataError, EnvironmentLacks
from sweep.housekeeping import archive_file
from sweep.housekeeping.archive_file import FORMAT, MANIFEST, VERSION, check_name, opened, written
from sweep.housekeeping.unpack import unpack
from sweep.store.paths import Paths

PLENTY = 10**6


def made(file: Path, contents: Mapping[str, bytes], **about: Any) -> Path:
    """An archive of these files, as somebody else may have made it."""
    listed = {name: {"size": len(each), "sha256": hashlib.sha256(each).hexdigest()} for name, each in contents.items()}
    manifest = {"format": FORMAT, "version": VERSION, "study": "s", "files": listed, **about}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in contents.items():
            archive.writestr(name, each)
        archive.writestr(MANIFEST, json.dumps(manifest))
    return file


def refusal(file: Path, most: int = PLENTY) -> str:
    with pytest.raises((DataError, EnvironmentLacks)) as caught:
        contents_of(file, most)
    return str(caught.value)


def contents_of(file: Path, most: int = PLENTY) -> dict[str, str]:
    with opened(file, most) as archive:
        return {name: archive.text(name) for name in archive.entries}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    source = tmp_path / "weights.safetensors"
    source.write_bytes(bytes(range(256)) * 100)
    with written(tmp_path / "s.zip", {"study": "s"}) as writer:
        writer.add("adapters/ab/abc/w.safetensors", source)
        writer.add("artifacts/s/run/w.safetensors", source)
        writer.add_text("study/optuna.json", "Größe")
    with opened(tmp_path / "s.zip", PLENTY) as archive:
        assert archive.about["study"] == "s"
        assert archive.text("study/optuna.json") == "Größe"
        for name in ("adapters/ab/abc/w.safetensors", "artifacts/s/run/w.safetensors"):
            archive.unpack(name, tmp_path / "out" / name)
            assert (tmp_path / "out" / name).read_bytes() == source.read_bytes()
    with zipfile.ZipFile(tmp_path / "s.zip") as plain:
        assert len(plain.namelist()) == 3, "the same contents are stored once"


def interrupted(file: Path) -> None:
    with written(file, {}) as writer:
        writer.add_text("study/optuna.json", "[]")
        writer.add_text("../x", "")


def test_an_archive_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        interrupted(tmp_path / "s.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "./a",
            "a/.",
            "a\\..\\b",
            "C:/x",
            "a/b ",
            "a/b.",
            "con",
            "a/NUL.txt",
            "",
        ),
        *("a\0b", "a\nb", "a" * 500, "/".join("a" * 30)),
    ],
)
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lead out of its folder"):
        check_name(name)
    if "\0" not in name and name:
        assert "lead out of its folder" in refusal(made(tmp_path / "s.zip", {name: b"x"}))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    assert "two files" in refusal(made(tmp_path / "a.zip", {"reports/s/A": b"1", "reports/s/a": b"2"}))
    assert "two files" in refusal(made(tmp_path / "b.zip", {"reports/s/a": b"1", "reports/s/a/b": b"2"}))


def test_more_than_the_manifest_says(tmp_path: Path) -> None:
    """A file that unpacks to more than its size, whatever the zip's own directory says."""
    entry = {"size": 3, "sha256": hashlib.sha256(b"0" * 100_000).hexdigest()}
    assert "is damaged" in refusal(made(tmp_path / "s.zip", {"x/y": b"0" * 100_000}, files={"x/y": entry}))


def test_changed_missing_and_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"x/y": {"size": 1, "sha256": hashlib.sha256(b"b").hexdigest()}}
    assert "x/y is damaged" in refusal(made(tmp_path / "a.zip", {"x/y": b"a"}, files=other))
    assert "x/y is damaged" in refusal(made(tmp_path / "b.zip", {}, files=other))
    assert "more than the 2 B" in refusal(made(tmp_path / "c.zip", {"x/y": b"abc"}), most=2)
    monkeypatch.setattr(archive_file, "MOST_FILES", 2)
    assert "more than 2 files" in refusal(made(tmp_path / "d.zip", {f"x/{number}": b"" for number in range(3)}))


@pytest.mark.parametrize(
    "about",
    [
        {"format": "other"},
        {"files": []},
        {"files": {"a": {"size": -1, "sha256": "0" * 64}}},
        {"files": {"a": {"size": 1, "sha256": "../x"}}},
        {"files": {"a": 3}},
    ],
)
def test_other_manifests(about: dict[str, Any], tmp_path: Path) -> None:
    assert MANIFEST in refusal(made(tmp_path / "s.zip", {}, **about))


def test_what_is_no_archive(tmp_path: Path) -> None:
    file = tmp_path / "s.zip"
    with pytest.raises(ConfigurationError, match="no such file"), opened(file, PLENTY):
        pass
    file.write_bytes(b"no zip")
    assert "not an archive of a study" in refusal(file)
    assert "later version" in refusal(made(file, {}, version=VERSION + 1))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", "y")
    assert "has no manifest.json" in refusal(file)


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    """A damaged archive reads as it was packed, where the damage is in what nobody reads, or not at all."""
    contents = {"x/y": "".join(chr(32 + 7 * place % 90) for place in range(2000))}
    file = made(tmp_path / "s.zip", {name: each.encode() for name, each in contents.items()})
    whole = file.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            assert contents_of(file) == contents
        except (DataError, EnvironmentLacks):
            noticed += 1
    assert noticed > len(whole) / 7 / 2
    for cut in (10, len(whole) // 2, len(whole) - 5):
        file.write_bytes(whole[:cut])
        assert refusal(file)


@pytest.mark.parametrize(
    "name",
    [
        "reports/other/x",
        "optuna.db",
        "mlflow.db",
        "study/x",
        "trials/ab/xyz/f",
        "scores/../x",
        "models/.x/f",
        "locks/s.lock",
        "hydra/x",
    ],
)
def test_files_that_no_study_has(name: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "mlruns")
    with pytest.raises(DataError):
        unpack(made(tmp_path / "s.zip", {name: b"x", "study/optuna.json": b"[]"}), paths)
    assert not paths.root.exists()


def test_a_name_of_a_study_that_leads_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a name"):
        unpack(made(tmp_path / "s.zip", {}, study="../x"), Paths(tmp_path / "mlruns"))
