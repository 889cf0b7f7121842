"""Versions of registered models in any store that MLflow can open, as the rows that an archive holds (`sweep.tracking.rows`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from sweep.tracking.rows import Row

_RUNS_PER_QUERY = 50


def registry_rows(client: MlflowClient, runs: Sequence[str], placed: Callable[[str], str]) -> Iterator[Row]:
    """The versions that come from these runs, and their registered models.

    Args:
        placed: the address under which a version's files will be found, by the one that it has.
    """
    versions: list[ModelVersion] = []
    for start in range(0, len(runs), _RUNS_PER_QUERY):
        among = ", ".join(f"'{each}'" for each in runs[start : start + _RUNS_PER_QUERY])
        versions += every(partial(client.search_model_versions, f"run_id IN ({among})"))
    for name in sorted({each.name for each in versions}):
        model = client.get_registered_model(name)
        yield row_of(
            "registered_models",
            name=name,
            creation_time=model.creation_timestamp,
            last_updated_time=model.last_updated_timestamp,
            description=model.description,
        )
        for key, value in model.tags.items():
            yield row_of("registered_model_tags", name=name, key=key, value=value)
        own = [each for each in versions if each.name == name]
        for version in own:
            yield from _version_rows(version, placed(version.source))
        for alias, number in model.aliases.items():
            if str(number) in {str(each.version) for each in own}:
                yield row_of("registered_model_aliases", name=name, alias=alias, version=int(number))


def _version_rows(version: ModelVersion, source: str) -> Iterator[Row]:
    own = {"name": version.name, "version": int(version.version)}
    yield row_of(
        "model_versions",
        **own,
        creation_time=version.creation_timestamp,
        last_updated_time=version.last_updated_timestamp,
        description=version.description,
        user_id=version.user_id,
        current_stage=version.current_stage,
        source=source,
        storage_location=source,
        run_id=version.run_id,
        run_link=version.run_link,
        status=version.status,
        status_message=version.status_message,
    )
    for key, value in version.tags.items():
        yield row_of("model_version_tags", **own, key=key, value=value)


def row_of(table: str, **columns: Any) -> Row:
    """A row of a table, by column."""
    return table, columns


def every(search: Callable[..., Any]) -> list[Any]:
    """The entries of all pages of a search of MLflow's client."""
    entries: list[Any] = []
    token: str | None = None
    while True:
        page = search(page_token=token)
        entries += page
        token = page.token
        if not token:
            return entries
