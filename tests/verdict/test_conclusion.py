"""Which trial's adapter is handed out."""

from __future__ import annotations

from sweep.records import Status, StudyRecord, TrialRecord
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen
from tests.conftest import arm, certified_record, result, study_record


def handed_out(record: StudyRecord) -> TrialRecord | None:
    return chosen(record, conclude(record))


def test_explored_study_hands_out_its_best_arm() -> None:
    found = handed_out(study_record([result(arm(8), 0.4), result(arm(16), 0.3)]))
    assert found is not None
    assert found.rank == 16


def test_study_without_a_complete_trial_hands_out_none() -> None:
    assert handed_out(study_record([result(arm(8), None, Status.FAILED, "diverged")])) is None


def test_certified_rank_hands_out_its_best_seed() -> None:
    record = certified_record()
    found = handed_out(record)
    assert found is not None
    assert record.certification is not None
    losses = {trial.seed: trial.loss for trial in record.certification.complete(8)}
    assert found.rank == 8
    assert found.seed == min(losses, key=lambda seed: losses[seed])


def test_undecided_study_hands_out_the_rank_with_the_lowest_mean() -> None:
    found = handed_out(certified_record({2: 0.45, 4: 0.28, 8: 0.30}, seed_noise=0.05))
    assert found is not None
    assert found.rank == 4


def test_of_equal_ranks_the_smaller_one_is_handed_out() -> None:
    found = handed_out(certified_record(base_loss=0.2))
    assert found is not None
    assert found.rank == 8
