"""The adapter that a study chose, described for the registry of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from sweep.methods import FULL, arm_words
from sweep.records import CompletedTrial, StudyRecord
from sweep.records.quants import transformers_settings
from sweep.store.paths import ORIGIN, Paths
from sweep.tracking import CHAMPION, Champion, names
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen

CODE = str(files("sweep.training").joinpath("goldilocks_champion.py"))
"""The file with the code that answers, a copy of which is in each model."""

_REQUIREMENTS = ("torch", "transformers", "peft", "accelerate")
_DEFAULT_NEW_TOKENS = 64


def registered_name(study: str) -> str:
    """The name of the registered model."""
    return f"{study}-goldilocks"


def champion(record: StudyRecord, paths: Paths, prompt: str | None, alias: str = CHAMPION) -> Champion | None:
    """The chosen adapter, as it lies in the study's report; None while the verdict names no rank.

    Args:
        prompt: the input example.
        alias: of its version.
    """
    conclusion = conclude(record)
    trial = chosen(record, conclusion)
    if conclusion is None or conclusion.rank is None or trial is None:
        return None
    folder = paths.adapter(record.name)
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        if origin["trial"] != trial.identity:
            return None
    except (OSError, ValueError, KeyError, TypeError):  # written by an earlier version, or not at all
        return None
    return Champion(
        model=registered_name(record.name),
        name=trial.name,
        folder=str(folder),
        trial=trial.identity,
        tags=_tags(record, conclusion, trial, origin),
        params={
            "rank": str(trial.rank),
            "method": trial.arm.method,
            "learning_rate": f"{trial.arm.learning_rate:.3g}",
            "seed": str(trial.seed),
            "base": str(origin["base_model"]),
        },
        description=_description(record, conclusion, trial, origin, alias),
        serving=serving(record.config, origin),
        code=CODE,
        requirements=requirements(trial.provenance.versions if trial.provenance else {}, origin),
        prompt=prompt,
        aliases=(alias,),
    )


def _tags(record: StudyRecord, conclusion: Conclusion, trial: CompletedTrial, origin: dict[str, Any]) -> dict[str, str]:
    declared = record.certification.declared if record.certification else record.declaration
    tags = {
        names.STUDY: record.name,
        names.VERDICT: conclusion.status,
        names.VERDICT_RANK: str(conclusion.rank),
        names.VERDICT_FINDINGS: ", ".join(each.kind for each in conclusion.findings),
        names.VERDICT_MARGIN_OF: str(declared.margin_of),
        names.VERDICT_LADDER_BY: declared.ladder_by,
        "sweep.verdict.margin": f"{declared.margin:g}",
        "sweep.verdict.margin_in_loss": "" if conclusion.margin_in_loss is None else f"{conclusion.margin_in_loss:.6g}",
        "sweep.verdict.alpha": f"{declared.alpha:g}",
        names.RANK: str(trial.rank),
        names.METHOD: trial.arm.method,
        names.SEED: str(trial.seed),
        names.BASE_HASH: str(origin.get("base_sha256") or ""),
        names.DATA_HASH: record.data_hash,
        "sweep.identity": record.identity,
    }
    return {key: value for key, value in tags.items() if value}


def _description(
    record: StudyRecord, conclusion: Conclusion, trial: CompletedTrial, origin: dict[str, Any], alias: str
) -> str:
    return "\n".join(
        [
            f"**{arm_words(trial.arm)}** for `{origin['base_model']}`, trained on `{record.task}`; status: {conclusion.status}.",
            "",
            conclusion.headline,
            "",
            *[f"- {reason}" for reason in conclusion.reasons],
            *([""] if conclusion.reasons else []),
            *how_to_load(f"models:/{registered_name(record.name)}@{alias}", is_whole=trial.arm.method == FULL),
        ]
    )


def how_to_load(uri: str, *, is_whole: bool) -> list[str]:
    """Lines of a description.

    Args:
        uri: of the version.
        is_whole: whether it is a whole model, which is no adapter.
    """
    return [
        f"It holds {'all weights' if is_whole else 'the adapter alone'}. `mlflow.pyfunc` answers as in training:",
        "",
        f'    mlflow.pyfunc.load_model("{uri}").predict([{{"prompt": "..."}}])',
        *([] if is_whole else ["", f'    mlflow.transformers.load_model("{uri}")']),
    ]


def serving(config_yaml: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What the answering code needs to know: base, quantization and prompt format of the training.

    Args:
        config_yaml: the study's resolved configuration.
        origin: what `goldilocks.json` beside the adapter says.
    """
    config = yaml.safe_load(config_yaml) or {}
    longest = (config.get("evaluate") or {}).get("max_new_tokens") or _DEFAULT_NEW_TOKENS
    return {
        "base_model": origin["base_model"],
        "base_folder": origin.get("base_folder"),
        "quantization": transformers_settings(
            str(origin.get("quant") or "none"), double_quant=bool(origin.get("double_quant", True))
        ),
        "system_prompt": (config.get("task") or {}).get("system_prompt"),
        "max_new_tokens": int(longest),
    }


def requirements(versions: Mapping[str, str], origin: Mapping[str, Any]) -> tuple[str, ...]:
    """The packages that load the model, in the versions of the training as far as they are recorded."""
    quantized = origin.get("quant") not in (None, "none")
    packages = (*_REQUIREMENTS, *(["bitsandbytes"] if quantized else []))
    return tuple(f"{name}=={_public(versions[name])}" if name in versions else name for name in packages)


def _public(version: str) -> str:
    """Without the local part (`+cpu`), which package indexes do not know."""
    return version.partition("+")[0]
