"""What Optuna's records say about the place of MLflow's store, corrected after `mlruns/` was moved."""

from __future__ import annotations

import optuna
from optuna.storages import RDBStorage

from sweep.search.optuna_internals import transaction

RECORDING = "recording"
"""User attribute of a study: what MLflow has of it, and in which store; see `SearchStudy.set_recording`."""


def rename_stores(storage: RDBStorage, stores: dict[str, str]) -> int:
    """Replaces addresses of stores in what studies know of their recording, in one transaction; returns the number of studies.

    Args:
        stores: new addresses by earlier ones, as `sweep.tracking.shown_store` gives them.
    """
    changed = 0
    with transaction(storage):
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            known = study.user_attrs.get(RECORDING)
            if isinstance(known, dict) and known.get("store") in stores:
                study.set_user_attr(RECORDING, {**known, "store": stores[known["store"]]})
                changed += 1
    return changed
