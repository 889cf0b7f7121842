"""Studies that were packed elsewhere: what is left out of them where they are opened."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sweep.search.portable import add_studies, packed_studies
from sweep.search.storage import opened_storage
from sweep.store.paths import Paths

ELSEWHERE = ("storage.url=postgresql+psycopg://db/optuna", "tracking.uri=http://mlflow:5000")


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_the_command_of_an_opened_study_does_not_lead_back(tmp_path: Path, sign: str) -> None:
    kept = ["python", "-m", "sweep", "+study=pharma", "task.path=a storage.url=b"]
    packed = {
        "study_name": "made@0",
        "system_attrs": {},
        "user_attrs": {"name": "made", "command": shlex.join([*kept, *(f"{sign}{word}" for word in ELSEWHERE)])},
        "trials": [],
    }
    with opened_storage(None, Paths(tmp_path / "mlruns")) as storage:
        add_studies(storage, [packed], "sqlite:///mlruns/mlflow.db", "1")
        (study,) = packed_studies(storage, "made")
    assert shlex.split(study["user_attrs"]["command"]) == kept
