"""A run tries again what failed in an earlier one: a killed worker must not leave a study open for good."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks import stand_in
from sweep.records import Stage, Status, TrialResult, TrialSpec
from sweep.store.paths import Paths
from tests.study.driven import Trained, essence, planned, run


class Notes(Trained):
    """Keeps what is said, too."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class Failing:
    """Ends the trials of a stage with the largest rank and the first seed without a result, and counts how often."""

    def __init__(self, stage: Stage, reason: str, times: int) -> None:
        self.stage, self.reason, self.left = stage, reason, times
        self.ended: Counter[str] = Counter()
        self._answer = stand_in._answer

    def __call__(self, connection: object, store: object, setup: object, spec: TrialSpec) -> TrialResult:
        if spec.stage is self.stage and spec.rank == 8 and spec.seed == planned().seed + 1 and self.left:
            self.left -= 1
            self.ended[spec.name] += 1
            return TrialResult(spec, Status.FAILED, self.reason)
        return self._answer(connection, store, setup, spec)  # type: ignore[arg-type]


KILLED = "the worker was killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize("words", [(), ("certify.ladder_by=train",)], ids=["cut", "trained"])
def test_a_failed_certify_trial_is_tried_again_by_the_next_run(tmp_path: Path, words: tuple[str, ...]) -> None:
    plan, notes = planned(*words), Notes()
    undisturbed = essence(run(Paths(tmp_path / "undisturbed"), plan))
    failing = Failing(Stage.CERTIFY, KILLED, times=2)
    with patch.object(stand_in, "_answer", failing):
        for count in (1, 2):
            record = run(Paths(tmp_path), plan, notes)
            assert record.certification is not None
            assert [trial.reason for trial in record.certification.trials if trial.status is Status.FAILED] == [KILLED]
            assert sum(failing.ended.values()) == count, "once in each run"
    again = run(Paths(tmp_path), plan, notes)
    assert essence(again)["verdict"] == undisturbed["verdict"]
    (name,) = failing.ended
    assert [text for text in notes.said if "tried again" in text] == [
        f"1 trial that failed in an earlier run is tried again: {name} ({KILLED})"
    ] * 2
    before = dict(notes.times)
    run(Paths(tmp_path), plan, notes)
    assert notes.times == before, "nothing is left to do"


def test_a_diverged_trial_is_a_result(tmp_path: Path) -> None:
    failing = Failing(Stage.CERTIFY, "diverged: the loss was nan at step 2", times=9)
    with patch.object(stand_in, "_answer", failing):
        for _ in range(2):
            run(Paths(tmp_path), planned())
    assert sum(failing.ended.values()) == 1


def test_a_failed_confirmation_is_tried_again(tmp_path: Path) -> None:
    plan = planned("certify.confirm=true", "certify.ladder=[8,16]")
    failing = Failing(Stage.CONFIRM, KILLED, times=1)
    with patch.object(stand_in, "_answer", failing):
        first = run(Paths(tmp_path), plan)
        assert first.certification is not None
        assert [trial.status for trial in first.certification.confirmed].count(Status.FAILED) == 1
        second = run(Paths(tmp_path), plan)
    assert second.certification is not None
    assert second.certification.confirmed
    assert all(trial.is_complete for trial in second.certification.confirmed)
