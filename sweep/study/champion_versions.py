"""The versions of a champion's history, described for the registry of models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sweep.methods import FULL, arm_words
from sweep.records import Arm, Split, Stage, TrialSpec, arm_from_json, trained_adapter_from_json
from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.adapters import origin_of
from sweep.study.champion import CODE, how_to_load, registered_name, requirements, serving
from sweep.tracking import CHAMPION, Champion, names


def version_to_register(
    study: str,
    entries: Sequence[ChampionEntry],
    version: int,
    folder: Path,
    config_yaml: str,
    prompt: str | None,
    aliases: Sequence[str],
) -> Champion | None:
    """One version of a study's champion; None if nothing beside its adapter or in its entry says what that was trained on.

    Args:
        entries: the whole history.
        folder: the version's adapter.
        config_yaml: the study's resolved configuration.
        prompt: the input example.
    """
    entry = entries[version - 1]
    origin = origin_of(folder)
    try:
        trained = trained_adapter_from_json(dict(entry.training))
        arm = arm_from_json(dict(entry.recipe))
        if origin["trial"] != entry.trial or not origin["base_model"]:
            return None
    except (ValueError, KeyError, TypeError):
        return None
    spec = TrialSpec(
        entry.trial, study, Stage.PROMOTION, arm, trained.training, trained.seed, split=Split.CERTIFY, answers=False
    )
    since = _came_into_use(entries, version)
    return Champion(
        model=registered_name(study),
        name=spec.name,
        folder=str(folder),
        trial=entry.trial,
        tags={
            names.STUDY: study,
            names.CHAMPION_VERSION: str(version),
            names.CHAMPION_EVENT: since[-1].event.value,
            names.CHAMPION_REASON: since[-1].reason,
            names.CHAMPION_SINCE: since[-1].created,
            names.CHAMPION_MARGIN: f"{entry.margin:g}",
            names.CHAMPION_RECIPE: json.dumps(dict(entry.recipe), sort_keys=True),
            names.RANK: str(entry.rank),
            names.METHOD: arm.method,
            names.SEED: str(trained.seed),
            names.BASE_HASH: trained.provenance.base_hash,
            names.DATA_HASH: entry.data_hash,
            **_of_verdict(entry),
        },
        params={
            "rank": str(entry.rank),
            "method": arm.method,
            "learning_rate": f"{arm.learning_rate:.3g}",
            "seed": str(trained.seed),
            "base": str(origin["base_model"]),
        },
        description=_description(study, entry, since, arm, origin, config_yaml, aliases),
        serving=serving(config_yaml, origin),
        code=CODE,
        requirements=requirements(trained.provenance.versions, origin),
        prompt=prompt,
        aliases=tuple(aliases),
    )


def _came_into_use(entries: Sequence[ChampionEntry], version: int) -> list[ChampionEntry]:
    """The entries that took a version into use, in order; at least the one that brought it."""
    return [
        entry
        for entry in entries
        if entry.version == version and (entry.brings_adapter or entry.event is ChampionEvent.ROLLBACK)
    ]


def _of_verdict(entry: ChampionEntry) -> dict[str, str]:
    """The study's verdict as it stood then; nothing if it took no part."""
    if not entry.verdict:
        return {}
    return {names.VERDICT: str(entry.verdict.get("status")), names.VERDICT_RANK: str(entry.verdict.get("rank"))}


def _description(
    study: str,
    entry: ChampionEntry,
    since: Sequence[ChampionEntry],
    arm: Arm,
    origin: dict[str, Any],
    config_yaml: str,
    aliases: Sequence[str],
) -> str:
    in_use = CHAMPION in aliases
    headline, limits = entry.verdict.get("headline"), (yaml.safe_load(config_yaml) or {}).get("task", {}).get("limits")
    model = registered_name(study)
    return "\n".join(
        [
            f"**{arm_words(arm)}** for `{origin['base_model']}`: version {entry.version} of the champion of `{study}`, "
            f"{'in use' if in_use else 'not in use'}.",
            "",
            *[f"- {each.created[:16].replace('T', ' ')} UTC, {each.event.value}: {each.reason}" for each in since],
            "",
            *([str(headline), ""] if headline else []),
            f"A challenger may have a higher loss on old examples, by less than {entry.margin:.3g} nats per token.",
            "",
            *([f"**Limits.** {limits}", ""] if limits else []),
            *how_to_load(
                f"models:/{model}@{CHAMPION}" if in_use else f"models:/{model}/{{version}}", is_whole=arm.method == FULL
            ),
        ]
    )
