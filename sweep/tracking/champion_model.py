"""An adapter of a study as an MLflow model: a folder in MLflow's format, a logged model of a run, a version in the registry.

The folder holds the adapter alone; the base is named, by its folder and by its name on the model hub. It has two flavours: `transformers`
loads base and adapter as a pipeline, `python_function` answers prompts as in training (docs/mlflow.md).
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from pandas import DataFrame

from sweep.store.paths import ORIGIN
from sweep.tracking import names
from sweep.tracking.kept_runs import REMOVED_NOTE
from sweep.tracking.port import CHAMPION, Champion, RecordRefused

DATA = "adapter"
"""The folder of the adapter within the model's `data/`."""
SERVING = "serving.json"
"""The file beside the adapter with what the answering code needs to know."""

_KIND = "peft-adapter"
_READY = "READY"
_TOKENIZER = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template*",
)


def register(client: MlflowClient, experiment: str, run_id: str | None, champion: Champion, *, on_server: bool) -> None:
    """Makes sure that the registry has a version of the champion's trial, described as given; repeating it adds nothing.

    Args:
        run_id: the run that a new version comes from; None for that of its trial, or no run if the experiment has none.
        on_server: whether the store is a tracking server, which resolves the model's place itself.

    Raises:
        RecordRefused: the folder does not hold the champion's adapter any more.
    """
    tags = names.valid_tags({**champion.tags, names.TRIAL: champion.trial})
    version = _version_of(client, champion)
    if version is None:
        run_id = run_id or _run_of(client, experiment, champion)
        model = _logged_model(client, experiment, run_id, champion, tags)
        version = client.create_model_version(
            champion.model,
            f"models:/{model.model_id}" if on_server else model.artifact_location,
            run_id,
            tags=tags,
            # MLflow asks the store of its global address for the run of a model that is named
            model_id=model.model_id if run_id is not None or on_server else None,
        )
    number = str(version.version)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            client.set_model_version_tag(champion.model, number, key, value)
    description = champion.description.replace("{version}", number)
    if version.description != description:
        client.update_model_version(champion.model, number, description)
    if CHAMPION in champion.aliases:
        client.update_registered_model(champion.model, description)
    for alias in champion.aliases:
        client.set_registered_model_alias(champion.model, alias, number)


def release(client: MlflowClient, model: str, alias: str) -> None:
    """Makes sure that no version has this alias."""
    try:
        held = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    if alias == CHAMPION:
        client.update_registered_model(model, "The version in use is not registered here.")
    if alias in held:
        client.delete_registered_model_alias(model, alias)


def _run_of(client: MlflowClient, experiment: str, champion: Champion) -> str | None:
    """The latest run of the champion's trial that is complete."""
    own = f"tags.`{names.TRIAL}` = '{champion.trial}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], own, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


def _version_of(client: MlflowClient, champion: Champion) -> ModelVersion | None:
    """The version of the champion's trial; the registered model is created if it does not exist."""
    try:
        client.get_registered_model(champion.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(champion.model, {names.STUDY: champion.tags.get(names.STUDY, "")})
        return None
    versions = client.search_model_versions(f"name = '{champion.model}' and tags.`{names.TRIAL}` = '{champion.trial}'")
    return max(versions, key=lambda version: int(version.version), default=None)


def _logged_model(
    client: MlflowClient, experiment: str, run_id: str | None, champion: Champion, tags: Mapping[str, str]
) -> LoggedModel:
    """The complete logged model of the champion's trial: the one that is there, or a new one."""
    own = f"tags.`{names.TRIAL}` = '{champion.trial}'"
    named = client.search_logged_models([experiment], own, max_results=10)
    known = [model for model in named if not _was_emptied(client, model)]
    for model in known:
        if model.status == _READY:
            return model
    _check(champion)
    # a sweep that was killed has left an incomplete one
    model = (
        known[0]
        if known
        else client.create_logged_model(
            experiment, _model_name(champion.name), run_id, dict(tags), dict(champion.params), model_type=_KIND
        )
    )
    with TemporaryDirectory(prefix="goldilocks-") as scratch:
        folder = Path(scratch) / "model"
        write_model(folder, champion, run_id, model.model_id)
        client.log_model_artifacts(model.model_id, str(folder))
    if run_id is not None:
        outputs = client.get_run(run_id).outputs
        if outputs is None or model.model_id not in {each.model_id for each in outputs.model_outputs}:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])  # MLflow refuses it a second time
    return client.finalize_logged_model(model.model_id, _READY)


def _was_emptied(client: MlflowClient, model: LoggedModel) -> bool:
    """Whether its weights were removed (`sweep.gc`)."""
    return any(file.path == REMOVED_NOTE for file in client.list_logged_model_artifacts(model.model_id))


def write_model(folder: Path, champion: Champion, run_id: str | None = None, model_id: str | None = None) -> None:
    """Writes the model in MLflow's format into a new folder."""
    # MLflow warns of its own type hints, and pandas of what MLflow does
    with TemporaryDirectory(prefix="goldilocks-") as scratch, warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc

        data = Path(scratch) / DATA
        shutil.copytree(champion.folder, data)
        (data / SERVING).write_text(json.dumps(dict(champion.serving), indent=2) + "\n", encoding="utf-8")
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=Path(champion.code).stem,
            data_path=str(data),
            code_paths=[champion.code],
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            signature=ModelSignature(
                inputs=Schema([ColSpec(DataType.string, "prompt")]),
                outputs=Schema([ColSpec(DataType.string, "answer")]),
                params=ParamSchema([ParamSpec("max_new_tokens", DataType.long, champion.serving["max_new_tokens"])]),
            ),
            input_example=None if champion.prompt is None else DataFrame({"prompt": [champion.prompt]}),
            pip_requirements=list(champion.requirements),
        )
    saved = Model.load(str(folder))
    if (folder / "data" / DATA / "adapter_config.json").is_file():
        _add_transformers(saved, folder, champion.serving)
    saved.save(str(folder / "MLmodel"))


def _add_transformers(saved: Model, folder: Path, serving: Mapping[str, Any]) -> None:
    """The flavour that `mlflow.transformers.load_model` reads: the base by its place, the adapter and the tokenizer in this folder."""
    data, tokenizer = folder / "data" / DATA, folder / "components" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for file in (file for pattern in _TOKENIZER for file in data.glob(pattern)):
        shutil.copyfile(file, tokenizer / file.name)
    has_tokenizer = any(tokenizer.iterdir())
    saved.add_flavor(
        "transformers",
        task="text-generation",
        instance_type="TextGenerationPipeline",
        pipeline_model_type="AutoModelForCausalLM",
        source_model_name=serving["base_model"],
        local_base_model_path=serving["base_folder"] or serving["base_model"],
        peft_adaptor=f"data/{DATA}",
        components=["tokenizer"] if has_tokenizer else [],
        **({"tokenizer_type": "AutoTokenizer"} if has_tokenizer else {}),
        code=None,
    )


def _check(champion: Champion) -> None:
    try:
        held = json.loads((Path(champion.folder) / ORIGIN).read_text(encoding="utf-8"))["trial"]
    except (OSError, ValueError, KeyError, TypeError):
        held = None
    if held != champion.trial:
        raise RecordRefused(
            f"{champion.folder} does not hold the adapter of {champion.name} any more; the next run of the study registers the one "
            "that it chooses"
        )


def _model_name(name: str) -> str:
    """A name that MLflow accepts for a logged model."""
    return re.sub(r"[/:.%\"']", "_", name)
