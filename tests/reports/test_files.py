"""What a study leaves under its report folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.errors import EnvironmentLacks
from sweep.records import Status, StudyRecord
from sweep.reports.files import write_report
from sweep.store.adapters import ADAPTER
from sweep.store.paths import Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen
from tests.conftest import arm, certified_record, result, study_record


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.here(tmp_path / "mlruns")


def keep_adapter(record: StudyRecord, paths: Paths, text: str) -> None:
    """The chosen trial's adapter on disk, as a worker leaves it."""
    trial = chosen(record, conclude(record))
    assert trial is not None
    folder = paths.trial(trial.spec.identity) / ADAPTER
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"is": text}))


def handed_out(paths: Paths) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((paths.adapter("made") / "adapter_config.json").read_text())
    return loaded


def test_certified_rank_is_handed_out_with_its_verdict(paths: Paths) -> None:
    record = certified_record()
    keep_adapter(record, paths, "rank 8")
    write_report(record, conclude(record), paths)
    assert handed_out(paths)["is"] == "rank 8"
    verdict = json.loads(paths.verdict("made").read_text())
    assert (verdict["status"], verdict["rank"], verdict["adapter_config"]["r"]) == ("certified", 8, 8)


def test_adapter_of_an_earlier_call_is_replaced(paths: Paths) -> None:
    explored, certified = study_record([result(arm(32), 0.3)]), certified_record()
    keep_adapter(explored, paths, "rank 32")
    keep_adapter(certified, paths, "rank 8")
    write_report(explored, conclude(explored), paths)
    write_report(certified, conclude(certified), paths)
    assert handed_out(paths)["is"] == "rank 8"
    assert sorted(file.name for file in paths.report("made").iterdir() if file.name.startswith(".")) == []


def test_adapter_that_is_gone_is_missed(paths: Paths) -> None:
    with pytest.raises(EnvironmentLacks, match="the chosen trial's adapter is gone"):
        write_report(certified_record(), conclude(certified_record()), paths)


def test_study_without_a_complete_trial_leaves_a_verdict_only(paths: Paths) -> None:
    written = write_report(
        study_record([result(arm(8), None, Status.FAILED, "diverged")], base_loss=None),
        conclude(study_record([result(arm(8), None, Status.FAILED, "diverged")], base_loss=None)),
        paths,
    )
    assert written == [paths.verdict("made")]
    assert not paths.adapter("made").exists()
