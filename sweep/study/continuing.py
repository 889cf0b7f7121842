"""Which of the Optuna studies of one name a call goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.config.load import plan_of_record
from sweep.errors import ConfigurationError
from sweep.records import StudyPlan
from sweep.search.storage import StudyDatabase
from sweep.store.identity import study_identity


def identity_to_go_on_with(plan: StudyPlan, data_hash: str, storage: StudyDatabase) -> str:
    """The identity of the study that asks the plan's question, or of a new one.

    Earlier versions hashed the task metric and other keys that change no training into a study's identity. Such a study is
    recognized by its recorded configuration, and goes on.
    """
    own = study_identity(plan, data_hash)
    known = studies_named(storage, plan.name)
    if own in known:
        return own
    for identity, attributes in sorted(known.items(), key=lambda item: -item[1].get("opened", 0.0)):
        if attributes.get("data_hash") == data_hash and _asks(str(attributes.get("config")), data_hash) == own:
            return identity
    return own


def studies_named(storage: StudyDatabase, name: str) -> dict[str, Mapping[str, Any]]:
    """The user attributes of all Optuna studies of this name, by the identity that is part of their full names."""
    found: dict[str, Mapping[str, Any]] = {}
    for summary in storage.get_all_studies():
        study, _, identity = summary.study_name.rpartition("@")
        if study == name:
            found[identity] = summary.user_attrs
    return found


def _asks(config: str, data_hash: str) -> str | None:
    """The identity of the question that a recorded configuration asks; None if this version cannot read it."""
    try:
        return study_identity(plan_of_record(config), data_hash)
    except ConfigurationError:
        return None
