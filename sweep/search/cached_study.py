"""An Optuna study with a copy in memory, which samplers read, while the database is only written.

A sampler reads every trial of the study for each proposal. Reading them from the database, results included, takes longer with
every trial; reading the copy does not. Each trial is written in one transaction when it begins and in one when it ends. The
database always holds all that a sampler may read, so a later run makes the same copy (`tests/search/test_cached_study.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.search.optuna_internals import id_of, system_attrs_of
from sweep.search.patience import written
from sweep.search.stored_trials import INTERRUPTED


class CachedStudy:
    """One Optuna study in memory and in its database.

    Args:
        study: the study in the database; nothing else may write to it from here on.
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
        self._written_system_attrs = dict(system_attrs_of(self._copy))
        self._database_ids: list[int] = []  # by trial number
        for trial in study.get_trials(deepcopy=False):
            self._database_ids.append(id_of(trial))
            self._memory.create_new_trial(id_of(self._copy), _with_user_attrs(trial, {}))

    @property
    def copy(self) -> optuna.Study:
        """The copy in memory, for reading; its trials have no user attributes."""
        return self._copy

    @property
    def waiting(self) -> int:
        """The number of enqueued trials."""
        return len(self._copy.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Enqueues a trial in memory; the database gets it when it begins."""
        self._copy.enqueue_trial(dict(values))

    def ask(
        self, sampler: BaseSampler, suggest: Callable[[optuna.Trial], Any], user_attrs: Mapping[str, Any]
    ) -> optuna.Trial:
        """Begins the next trial: an enqueued one, else one that the sampler proposes.

        Args:
            suggest: defines the search space by calling the trial's `suggest_*` methods.
        """
        waiting = self._copy.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        # an interrupted trial keeps its values, and what the sampler noted for them is stored already
        self._copy.sampler = RandomSampler() if waiting and waiting[0].params else sampler
        trial = self._copy.ask()
        suggest(trial)
        drawn = self._memory.get_trial(id_of(trial))
        known = self._database_ids[trial.number] if trial.number < len(self._database_ids) else None
        system_attrs = dict(system_attrs_of(self._copy))

        def begin(again: bool) -> int:
            self._write_system_attrs(system_attrs)
            database_id = self._begun(trial.number) if again and known is None else known
            if database_id is None:
                database_id = self._storage.create_new_trial(self._study_id, _with_user_attrs(drawn, user_attrs))
            elif known is not None:
                self._begin_waiting(database_id, drawn, user_attrs)
            self._storage.record_heartbeat(database_id)
            return database_id

        database_id = written(self._storage, begin)
        self._written_system_attrs = system_attrs
        if known is None:
            self._database_ids.append(database_id)
        return trial

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Stores an intermediate value; only the first one of a step is kept."""
        if step in self._memory.get_trial(id_of(trial)).intermediate_values:
            return
        trial.report(value, step)
        self._storage.set_trial_intermediate_value(self._database_ids[trial.number], step, value)

    def tell(
        self, trial: optuna.Trial, value: float | None, state: TrialState | None, user_attrs: Mapping[str, Any]
    ) -> None:
        """Ends a trial with a value or a state."""
        before = self._memory.get_trial(id_of(trial)).system_attrs
        self._copy.tell(trial, value, state=state)
        ended = self._memory.get_trial(id_of(trial))
        database_id = self._database_ids[trial.number]
        system_attrs = dict(system_attrs_of(self._copy))

        def end(again: bool) -> None:
            if again and self._storage.get_trial(database_id).state.is_finished():
                return
            for key, entry in user_attrs.items():
                self._storage.set_trial_user_attr(database_id, key, entry)
            for key, entry in ended.system_attrs.items():
                if before.get(key) != entry:
                    self._storage.set_trial_system_attr(database_id, key, entry)
            self._write_system_attrs(system_attrs)
            self._storage.set_trial_state_values(database_id, ended.state, ended.values)

        written(self._storage, end)
        self._written_system_attrs = system_attrs

    def interrupt(self, trial: optuna.Trial) -> None:
        """Puts a running trial back into the queue, first in line, with its number and values."""
        self._memory.set_trial_state_values(id_of(trial), TrialState.WAITING)
        database_id = self._database_ids[trial.number]

        def put_back(again: bool) -> None:
            if not again or self._storage.get_trial(database_id).state is not TrialState.WAITING:
                requeue(self._storage, database_id)

        written(self._storage, put_back)

    def record_heartbeat(self, number: int) -> None:
        """Shows other processes that a running trial is alive."""
        self._storage.record_heartbeat(self._database_ids[number])

    def _begin_waiting(self, database_id: int, drawn: FrozenTrial, user_attrs: Mapping[str, Any]) -> None:
        """Begins a trial that was enqueued in the database, or interrupted."""
        known = self._storage.get_trial(database_id).params
        self._storage.set_trial_state_values(database_id, TrialState.RUNNING)
        for name, value in drawn.params.items():
            distribution = drawn.distributions[name]
            if name not in known:
                self._storage.set_trial_param(database_id, name, distribution.to_internal_repr(value), distribution)
        for key, entry in drawn.system_attrs.items():
            self._storage.set_trial_system_attr(database_id, key, entry)
        for key, entry in user_attrs.items():
            self._storage.set_trial_user_attr(database_id, key, entry)

    def _begun(self, number: int) -> int | None:
        """The database's id of a trial whose beginning may have been written although the server's answer was lost."""
        try:
            return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        except KeyError:
            return None

    def _write_system_attrs(self, current: Mapping[str, Any]) -> None:
        """Writes what a sampler has stored with the study, for example its position in a sequence."""
        for key, entry in current.items():
            if self._written_system_attrs.get(key) != entry:
                self._storage.set_study_system_attr(self._study_id, key, entry)


def requeue(storage: RDBStorage, database_id: int) -> None:
    """Puts a running trial of the database back into the queue; call within a transaction."""
    times = storage.get_trial(database_id).user_attrs.get(INTERRUPTED, 0)
    storage.set_trial_user_attr(database_id, INTERRUPTED, times + 1)
    storage.set_trial_state_values(database_id, TrialState.WAITING)


def _with_user_attrs(trial: FrozenTrial, user_attrs: Mapping[str, Any]) -> FrozenTrial:
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
