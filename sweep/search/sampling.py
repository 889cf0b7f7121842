"""The study as a sampler sees it: a copy in memory, from which trials are drawn, and by which the database is written.

A sampler reads every trial of the study for each one that it proposes. From the database that takes longer with every trial,
results and all; from the copy it costs what the sampler itself computes. The database is only written: each trial in one
transaction as it begins, and in one as it ends. It always holds all that a sampler may ask for, so the copy that another call
makes of it is the same (`tests/search/test_sampling.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.search.ledger import INTERRUPTED
from sweep.search.optuna_internals import id_of, system_attrs_of, transaction


class Sampling:
    """One study in memory and in the database.

    Args:
        study: the study in the database; nobody else may write to it from here on.
        storage: its database.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage) -> None:
        self._storage = storage
        self._study_id = id_of(study)
        self._memory = InMemoryStorage()
        self._copy = optuna.create_study(
            storage=self._memory,
            study_name=study.study_name,
            direction=study.direction,
            pruner=optuna.pruners.NopPruner(),
        )
        for key, value in system_attrs_of(study).items():
            self._memory.set_study_system_attr(id_of(self._copy), key, value)
        self._system_attrs = dict(system_attrs_of(self._copy))
        self._ids: list[int] = []
        for trial in study.get_trials(deepcopy=False):
            self._ids.append(id_of(trial))
            self._memory.create_new_trial(id_of(self._copy), _copied(trial, {}))

    @property
    def study(self) -> optuna.Study:
        """The copy, for reading."""
        return self._copy

    @property
    def waiting(self) -> int:
        """How many trials are enqueued."""
        return len(self._copy.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """The next trial is this one, if no other is waiting. In memory alone: it comes to the database as it begins."""
        self._copy.enqueue_trial(dict(values))

    def ask(
        self, sampler: BaseSampler, suggest: Callable[[optuna.Trial], Any], user_attrs: Mapping[str, Any]
    ) -> optuna.Trial:
        """Begins a trial; its values are those that `suggest` asks for, its number is the database's."""
        waiting = self._copy.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        # an interrupted trial has its values, and the sampler has noted what it drew them from
        self._copy.sampler = RandomSampler() if waiting and waiting[0].params else sampler
        trial = self._copy.ask()
        suggest(trial)
        drawn = self._memory.get_trial(id_of(trial))
        with transaction(self._storage):
            self._keep_system_attrs()
            if trial.number < len(self._ids):
                self._begin_waiting(self._ids[trial.number], drawn, user_attrs)
            else:
                self._ids.append(self._storage.create_new_trial(self._study_id, _copied(drawn, user_attrs)))
            self._storage.record_heartbeat(self._ids[trial.number])
        return trial

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Keeps an intermediate value; the first one of a step counts."""
        if step in self._memory.get_trial(id_of(trial)).intermediate_values:
            return
        trial.report(value, step)
        self._storage.set_trial_intermediate_value(self._ids[trial.number], step, value)

    def tell(
        self, trial: optuna.Trial, value: float | None, state: TrialState | None, user_attrs: Mapping[str, Any]
    ) -> None:
        """Ends a trial, with a value or a state."""
        before = self._memory.get_trial(id_of(trial)).system_attrs
        self._copy.tell(trial, value, state=state)
        told = self._memory.get_trial(id_of(trial))
        number = self._ids[trial.number]
        with transaction(self._storage):
            for key, entry in user_attrs.items():
                self._storage.set_trial_user_attr(number, key, entry)
            for key, entry in told.system_attrs.items():
                if before.get(key) != entry:
                    self._storage.set_trial_system_attr(number, key, entry)
            self._keep_system_attrs()
            self._storage.set_trial_state_values(number, told.state, told.values)

    def interrupt(self, trial: optuna.Trial) -> None:
        """A trial that began waits again: it is the next to be asked for, under its number and with its values."""
        self._memory.set_trial_state_values(id_of(trial), TrialState.WAITING)
        with transaction(self._storage):
            wait_again(self._storage, self._ids[trial.number])

    def beat(self, number: int) -> None:
        """Lets others see that a trial is alive."""
        self._storage.record_heartbeat(self._ids[number])

    def _begin_waiting(self, number: int, drawn: FrozenTrial, user_attrs: Mapping[str, Any]) -> None:
        """A trial that was enqueued in the database, or interrupted."""
        known = self._storage.get_trial(number).params
        self._storage.set_trial_state_values(number, TrialState.RUNNING)
        for name, value in drawn.params.items():
            distribution = drawn.distributions[name]
            if name not in known:
                self._storage.set_trial_param(number, name, distribution.to_internal_repr(value), distribution)
        for key, entry in drawn.system_attrs.items():
            self._storage.set_trial_system_attr(number, key, entry)
        for key, entry in user_attrs.items():
            self._storage.set_trial_user_attr(number, key, entry)

    def _keep_system_attrs(self) -> None:
        """What a sampler has noted with the study, such as how far a sequence has come."""
        noted = system_attrs_of(self._copy)
        for key, entry in noted.items():
            if self._system_attrs.get(key) != entry:
                self._storage.set_study_system_attr(self._study_id, key, entry)
        self._system_attrs = dict(noted)


def wait_again(storage: RDBStorage, number: int) -> None:
    """A running trial of the database waits to be asked for again; call within a transaction.

    Args:
        number: the storage's own.
    """
    times = storage.get_trial(number).user_attrs.get(INTERRUPTED, 0)
    storage.set_trial_user_attr(number, INTERRUPTED, times + 1)
    storage.set_trial_state_values(number, TrialState.WAITING)


def _copied(trial: FrozenTrial, user_attrs: Mapping[str, Any]) -> FrozenTrial:
    """The trial with these user attributes instead of its own."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=dict(user_attrs),
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
        trial_id=id_of(trial),
    )
