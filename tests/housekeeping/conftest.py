"""A finished study without training (`tests.study.driven`), made once and copied: its adapters are small files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sweep.records import StudyRecord
from sweep.search.reading import study_of
from sweep.search.storage import existing_storage
from sweep.store.paths import Paths
from tests.study.driven import planned, run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study of the name `driven`; copy it before you change it."""
    paths = Paths(tmp_path_factory.mktemp("finished") / "mlruns")
    run(paths, planned())
    return paths.root


@pytest.fixture
def paths(finished: Path, tmp_path: Path) -> Paths:
    """A copy of the finished study."""
    copied = Paths(tmp_path / "mlruns")
    shutil.copytree(finished, copied.root)
    return copied


def record_in(paths: Paths, study: str = "driven") -> StudyRecord:
    with existing_storage(None, paths) as storage:
        return study_of(storage, study)
