"""The adapter folder that a study hands out: the files of PEFT, the tokenizer of the base, a model card; ready to be copied elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sweep.records import CompletedTrial, StudyRecord
from sweep.reports.model_card import Card, model_card, quantization
from sweep.store.paths import ORIGIN
from sweep.verdict.conclusion import Conclusion

CARD = "README.md"
_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.*"
_WHOLE_MODEL = ("config.json", "model.safetensors")
"""The files of `method=full`, which has no adapter."""
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "chat_template.json"),
)
"""The files from which transformers reads a tokenizer and its chat template."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base that an adapter is for.

    Attributes:
        id: its name on the model hub, `ORG/NAME`; a plain name if it is not on a hub.
        folder: its files on this machine, None if they were moved since the adapter was trained.
    """

    id: str
    folder: Path | None

    @property
    def on_hub(self) -> bool:
        """Whether others find it under its name."""
        return self.id.count("/") == 1 and not self.id.startswith(("/", "."))


def hand_out(
    record: StudyRecord,
    conclusion: Conclusion | None,
    trial: CompletedTrial,
    source: Path,
    target: Path,
    models: Path,
) -> None:
    """Writes the folder, then replaces the earlier one with it.

    Args:
        trial: whose adapter it is.
        source: the adapter as the worker left it.
        models: folder of converted and made bases, in case the folder that the trial recorded has moved.
    """
    fresh = target.with_name(f".adapter.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    is_adapter = (source / _CONFIG).is_file()
    files = (source / _CONFIG, *source.glob(_WEIGHTS)) if is_adapter else (source / name for name in _WHOLE_MODEL)
    for file in files:
        shutil.copyfile(file, fresh / file.name)  # with the permissions of a new file
    config = json.loads((fresh / _CONFIG).read_text(encoding="utf-8")) if is_adapter else {}
    base = _base(record, source, config, models)
    if is_adapter:
        _write(fresh / _CONFIG, {**config, "base_model_name_or_path": base.id})
    if base.folder is not None:
        for file in (base.folder / name for name in _TOKENIZER):
            if file.is_file():
                shutil.copyfile(file, fresh / file.name)
    _write(fresh / ORIGIN, _origin(record, conclusion, trial, base))
    card = Card(base.id, base.on_hub, _chat_template(fresh), (fresh / "tokenizer_config.json").is_file())
    (fresh / CARD).write_text(model_card(record, conclusion, trial, card), encoding="utf-8")
    replace_folder(fresh, target)


def _base(record: StudyRecord, source: Path, config: dict[str, Any], models: Path) -> Base:
    """The base by the name in the study's configuration, in the folder that the trial recorded (older trials in PEFT's configuration)."""
    model = (yaml.safe_load(record.config) or {}).get("model") or {}
    try:
        recorded = json.loads((source / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        recorded = {}
    named = str(recorded.get("base_folder") or config.get("base_model_name_or_path") or "")
    folders = [Path(named), models / Path(named).name] if Path(named).is_absolute() else []
    existing = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    return Base(str(model.get("id") or recorded.get("base_model") or record.model), existing)


def _origin(
    record: StudyRecord, conclusion: Conclusion | None, trial: CompletedTrial, base: Base
) -> dict[str, str | int | float | None]:
    """Where the adapter comes from, for programs and for later readers."""
    provenance, quant = trial.provenance, quantization(record, trial.arm)
    return {
        "study": record.name,
        "task": record.task,
        "status": conclusion.status if conclusion else "undecided",
        "rank": trial.rank,
        "cut_from": trial.arm.cut_from,
        "energy_kept": trial.measures.energy_kept,
        "seed": trial.seed,
        "trial": trial.identity,
        "run_id": trial.run_id,
        "base_model": base.id,
        "base_folder": str(base.folder) if base.folder else None,
        "base_source": provenance.base_source if provenance else None,
        "base_sha256": provenance.base_hash if provenance else None,
        "quant": quant.name,
        "double_quant": quant.double_quant,
        "data_sha256": record.data_hash,
    }


def _chat_template(folder: Path) -> str | None:
    """The chat template of the tokenizer; None if it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            template = json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template")
            if template:
                return json.dumps(template)
    return None


def _write(file: Path, contents: dict[str, Any]) -> None:
    file.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def replace_folder(fresh: Path, target: Path) -> None:
    """Replaces a folder with a complete one; the earlier folder is removed only afterwards."""
    earlier = target.with_name(f".{target.name}.{os.getpid()}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if target.exists():
        target.rename(earlier)
    fresh.rename(target)
    shutil.rmtree(earlier, ignore_errors=True)
