"""The only place that uses what Optuna does not promise to keep; `pyproject.toml` pins Optuna to the releases that it fits.

Optuna's public interface has no numbers for its storages, no transaction over several writes, and no way to show a sampler
some of the trials. `tests/search/test_optuna_internals.py` fails where an Optuna release changes what is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState


def id_of(thing: optuna.Study | optuna.Trial | FrozenTrial) -> int:
    """The number by which storages know a study or a trial."""
    return thing._study_id if isinstance(thing, optuna.Study) else thing._trial_id


def system_attrs_of(study: optuna.Study) -> Mapping[str, Any]:
    """What samplers have noted with the study."""
    return study._storage.get_study_system_attrs(study._study_id)


def stale_trials(study: optuna.Study, storage: RDBStorage) -> frozenset[int]:
    """The ids of running trials whose heart has not beaten for the storage's grace period."""
    return frozenset(storage._get_stale_trial_ids(study._study_id))


@contextmanager
def transaction(storage: RDBStorage) -> Iterator[None]:
    """Makes one transaction of all that the block writes to the storage: a process that is killed in it has written nothing.

    The block reads what it has written. If it raises, nothing is written, and studies that were read in it are of no use.
    A write that the database refuses always raises, also where Optuna would go on: `create_study` of a name that is taken
    does, whatever its `load_if_exists`. Blocks may be nested; the outermost one decides.
    """
    registry = storage.scoped_session
    session = registry()
    storage.scoped_session = lambda: _Joined(session)  # type: ignore[assignment]
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        storage.scoped_session = registry
        session.close()


class _Joined:
    """A session within a transaction, as the storage's methods take it: each ends its own, which ends nothing here."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        """Later reads of the block see what was written, as after a commit."""
        self._session.flush()
        self._session.expire_all()

    def rollback(self) -> None:
        """Raises the error that is being handled: to go on would lose what the block wrote before it."""
        raise

    def close(self) -> None:
        """The session ends with the transaction."""


class PartOfStudy(optuna.Study):
    """A study of which its readers see some trials; everything else is the study's own.

    Args:
        select: those to be seen, given all of them by number.
    """

    def __init__(self, study: optuna.Study, select: Callable[[Sequence[FrozenTrial]], list[FrozenTrial]]) -> None:
        self.__dict__.update(study.__dict__)
        self._select = select

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        seen = self._select(super()._get_trials(deepcopy, None, use_cache))
        return [trial for trial in seen if states is None or trial.state in states]
