"""The only module that uses private parts of Optuna; `pyproject.toml` pins Optuna to releases that have them.

Optuna's public interface does not expose storage ids, has no transaction over several writes, and cannot show a sampler only some of
the trials. `tests/search/test_optuna_internals.py` fails if an Optuna release changes what is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.orm import scoped_session

from sweep.console.command_line import pasteable
from sweep.errors import EnvironmentLacks


def id_of(thing: optuna.Study | optuna.Trial | FrozenTrial) -> int:
    """The id of a study or a trial in its storage."""
    return thing._study_id if isinstance(thing, optuna.Study) else thing._trial_id


def system_attrs_of(study: optuna.Study) -> Mapping[str, Any]:
    """What samplers have stored with the study."""
    return study._storage.get_study_system_attrs(study._study_id)


def stale_trials(study: optuna.Study, storage: RDBStorage) -> frozenset[int]:
    """The storage ids of running trials without a heartbeat for the storage's grace period."""
    return frozenset(storage._get_stale_trial_ids(study._study_id))


SAFE_TO_REPEAT = (
    *("get_all_studies", "get_study_id_from_name", "get_study_name_from_id", "get_study_directions"),
    *("get_study_user_attrs", "get_study_system_attrs", "get_trial", "get_all_trials", "_get_trials"),
    *("set_study_user_attr", "set_study_system_attr", "set_trial_intermediate_value"),
)
"""Methods of a storage that have the same effect if they are called twice; `_get_trials` is what a loaded study reads with."""


class SeparateStudies(RDBStorage):
    """Optuna's storage, in which a study whose attributes are damaged keeps no other one from being read."""

    def get_all_studies(self) -> list[FrozenStudy]:
        """All studies; a damaged one counts as opened before all others, and reading it says what is wrong."""
        try:
            return super().get_all_studies()
        except ValueError:  # Optuna reads the attributes of all of them
            with self.engine.connect() as connection:
                rows = connection.execute(text("SELECT study_id, study_name FROM studies ORDER BY study_id")).all()
            return [self._study(number, name) for number, name in rows]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes of a study.

        Raises:
            EnvironmentLacks: they are damaged.
        """
        try:
            return super().get_study_user_attrs(study_id)
        except ValueError as error:
            raise EnvironmentLacks(
                f"the record of study {self.get_study_name_from_id(study_id)} in the Optuna database is damaged ({error}); run "
                f"`{pasteable('python -m sweep.doctor --repair')}`, which moves a damaged mlruns/optuna.db away, then the same command: "
                "finished trials are found in mlruns and are not trained again"
            ) from error

    def _study(self, number: int, name: str) -> FrozenStudy:
        try:
            attributes = super().get_study_user_attrs(number), super().get_study_system_attrs(number)
        except ValueError:
            attributes = {"opened": 0.0}, {}
        return FrozenStudy(name, None, *attributes, number, directions=self.get_study_directions(number))


def in_transaction(storage: RDBStorage) -> bool:
    """Whether a block of `transaction` is writing to the storage."""
    return not isinstance(storage.scoped_session, scoped_session)


@contextmanager
def transaction(storage: RDBStorage) -> Iterator[None]:
    """Makes everything that the block writes to the storage one transaction: if the process is killed, nothing is written.

    The block reads its own writes. If it raises, nothing is written, and studies that it read must not be used. A write that
    the database rejects always raises, even where Optuna would ignore it: `create_study` with an existing name raises
    whatever its `load_if_exists`. Blocks may be nested; the outermost one commits.
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
    """The transaction's session as the storage's methods see it: they commit and close it, which has no effect here."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        """Lets later reads in the block see the writes, as after a commit."""
        self._session.flush()
        self._session.expire_all()

    def rollback(self) -> None:
        """Re-raises the error being handled: continuing would lose the block's earlier writes."""
        raise

    def close(self) -> None:
        """Does nothing; the session closes with the transaction."""


class PartOfStudy(optuna.Study):
    """A view of a study that shows only some of its trials.

    Args:
        select: returns the trials to show, given all of them by number.
    """

    def __init__(self, study: optuna.Study, select: Callable[[Sequence[FrozenTrial]], list[FrozenTrial]]) -> None:
        self.__dict__.update(study.__dict__)
        self._select = select

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        shown = self._select(super()._get_trials(deepcopy, None, use_cache))
        return [trial for trial in shown if states is None or trial.state in states]
