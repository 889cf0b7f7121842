"""What the stages of one call share: the base is tried again where a worker died, and a recorded trial is asked for anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import NoTrialSucceeded
from sweep.records import Split, Status, TrialRecord, TrialResult, TrialSpec
from sweep.store.paths import Paths
from sweep.study.display import Silent
from sweep.study.invocation import BASE_TRIES, Invocation
from sweep.study.session import Session
from tests.conftest import measures
from tests.study.test_checks import LOADED


@dataclass
class EndsAtOnce:
    """A session in which every trial ends as planned as soon as it has begun."""

    ends: list[Status]
    begun: list[TrialSpec] = field(default_factory=list)

    def begin(self, number: int, spec: TrialSpec, report: Any, done: Callable[[TrialRecord], None]) -> None:
        self.begun.append(spec)
        status = self.ends.pop(0)
        scored = measures(4.0) if status is Status.COMPLETE else None
        done(TrialRecord(number, TrialResult(spec, status, "the worker was killed by signal 9 (SIGKILL)", scored)))

    def finish_all(self) -> None:
        """Nothing is open."""


def invocation(session: EndsAtOnce, made_task: Path, tmp_path: Path) -> Invocation:
    words = ["model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"]
    return Invocation(composed_plan(words), Paths(tmp_path), Silent(), cast(Session, session), LOADED, 0.0)


def test_a_worker_that_dies_while_the_base_is_scored_is_replaced(made_task: Path, tmp_path: Path) -> None:
    session = EndsAtOnce([Status.FAILED] * (BASE_TRIES - 1) + [Status.COMPLETE])
    records: list[TrialRecord] = []
    invocation(session, made_task, tmp_path).score_base(Split.TUNE, records.append)
    assert [record.status for record in records] == [Status.COMPLETE]
    assert len({spec.identity for spec in session.begun}) == 1


def test_a_base_that_cannot_be_scored_ends_the_study(made_task: Path, tmp_path: Path) -> None:
    session = EndsAtOnce([Status.FAILED] * BASE_TRIES)
    with pytest.raises(NoTrialSucceeded, match=r"base model could not be scored.*killed by signal 9"):
        invocation(session, made_task, tmp_path).score_base(Split.TUNE, lambda record: None)
    assert session.ends == []
    infeasible = EndsAtOnce([Status.INFEASIBLE])
    with pytest.raises(NoTrialSucceeded):
        invocation(infeasible, made_task, tmp_path).score_base(Split.TUNE, lambda record: None)
    assert infeasible.ends == []
