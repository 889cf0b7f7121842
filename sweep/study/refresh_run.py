"""The trials of a refresh: within its budget, and recorded, because they are none of the study's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sweep.records import TrainedAdapter, TrialRecord, TrialSpec
from sweep.store.refresh_log import RefreshEvent, RefreshLog
from sweep.study.session import Tell, tell_nobody
from sweep.study.study_run import StudyRun


@dataclass
class RefreshRun(StudyRun):
    """A run that trains challengers.

    Attributes:
        steps: where each adapter that is trained is recorded.
        champion: the training of the champion, of which challengers are expected to take as long; None if it is not known.
    """

    steps: RefreshLog = field(kw_only=True)
    champion: TrainedAdapter | None = field(kw_only=True)
    _evaluation: float = 0.0

    def run_trials(
        self,
        specs: Iterable[TrialSpec | None],
        *,
        tell: Tell = tell_nobody,
        first: int = 1,
        expected: Callable[[TrialSpec], float] | None = None,
    ) -> Iterator[TrialRecord]:
        """See `StudyRun.run_trials`."""
        for trial in super().run_trials(specs, tell=tell, first=first, expected=expected or self.expected_seconds):
            if trial.is_complete and not _trains(trial.spec):
                self._evaluation = trial.seconds
            elif trial.is_complete:
                self.steps.add(RefreshEvent.TRAINED, self.loaded.data_hash, trial.spec.adapter_id, trial.seconds)
            yield trial

    def expected_seconds(self, spec: TrialSpec) -> float:
        """The expected duration of a trial: as the last of its kind took; before that, as the champion's training took."""
        store = self.session.store
        if store.find(spec.identity) is not None:
            return 0.0
        if not _trains(spec) or store.adapters.find(spec.adapter_id) is not None:
            return self._evaluation
        took = [step.seconds for step in self.steps.steps() if step.seconds > 0]
        if took:
            return took[-1]
        # of an adapter that was cut, the phases are those of the training that it was cut from
        known = (self.champion.seconds, sum(self.champion.phases.values())) if self.champion is not None else (0.0,)
        return max(known) + self._evaluation


def _trains(spec: TrialSpec) -> bool:
    """Whether its adapter is trained if it is missing, other than the base, and the champion on data that it was not trained on."""
    return spec.arm is not None and spec.adapter_of is None
