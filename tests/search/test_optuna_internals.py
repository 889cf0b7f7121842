"""Private parts of Optuna work as this code expects, and only one module uses them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import IntegrityError

import sweep
from sweep.search.optuna_internals import PartOfStudy, id_of, system_attrs_of, transaction

SWEEP = Path(sweep.__file__).parent
ROOMS = ("search", "study")
NewStorage = Callable[[], RDBStorage]


def private_uses(code: str) -> Iterator[str]:
    """The private names that a module reads or overrides, except on `self` and `cls`."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=value, attr=name) if name.startswith("_") and not name.endswith("__"):
                if not (isinstance(value, ast.Name) and value.id in ("self", "cls")):
                    yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.ImportFrom(module=str(module)) if module.startswith("optuna"):
                names = [*module.split("."), *(alias.name for alias in node.names)]
                if any(name.startswith("_") for name in names):
                    yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.ClassDef(bases=bases, body=body) if any("optuna" in ast.unparse(base) for base in bases):
                for member in body:
                    if isinstance(member, ast.FunctionDef) and member.name[0] == "_" and member.name[-2:] != "__":
                        yield f"{member.lineno}: {node.name}.{member.name}"


def test_one_module_uses_optunas_internals() -> None:
    uses = {file.name: list(private_uses(file.read_text())) for room in ROOMS for file in (SWEEP / room).glob("*.py")}
    assert uses.pop("optuna_internals.py"), "the test detects private uses"
    assert not any(uses.values()), uses


@pytest.mark.parametrize(
    "code",
    [
        "study._storage",
        "self._study._study_id",
        "from optuna.storages._rdb import models",
        "class A(optuna.Study):\n    def _get_trials(self): ...",
    ],
)
def test_private_uses_are_detected(code: str) -> None:
    assert list(private_uses(code))


def trial_with(**attributes: object) -> optuna.trial.FrozenTrial:
    return create_trial(
        params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}, value=1.0, user_attrs=dict(attributes)
    )


class TestTransaction:
    def test_writes_appear_at_its_end_and_are_read_within(self, new_storage: NewStorage) -> None:
        storage = new_storage()
        other = RDBStorage(str(storage.engine.url))
        with transaction(storage):
            study = optuna.create_study(storage=storage, study_name="s")
            study.set_user_attr("a", 1)
            study.set_user_attr("a", 2)
            study.enqueue_trial({"x": 0.25})
            study.add_trial(trial_with(b=1))
            assert study.user_attrs == {"a": 2}
            assert [trial.state for trial in study.get_trials()] == [TrialState.WAITING, TrialState.COMPLETE]
            assert other.get_all_studies() == []
        again = optuna.load_study(storage=other, study_name="s")
        assert again.user_attrs == {"a": 2}
        assert [trial.number for trial in again.get_trials()] == [0, 1]
        study.set_user_attr("a", 3)
        assert again.user_attrs == {"a": 3}, "afterwards each write is a transaction of its own"
        other.remove_session()
        other.engine.dispose()

    def test_a_changed_trial_is_read_again(self, new_storage: NewStorage) -> None:
        storage = new_storage()
        study = optuna.create_study(storage=storage, study_name="s")
        number = storage.create_new_trial(id_of(study))
        with transaction(storage):
            assert storage.get_trial(number).user_attrs == {}
            storage.set_trial_user_attr(number, "a", 1)
            assert storage.get_trial(number).user_attrs == {"a": 1}

    @pytest.mark.parametrize("inner", [False, True])
    def test_an_error_rolls_everything_back(self, inner: bool, new_storage: NewStorage) -> None:
        storage = new_storage()
        study = optuna.create_study(storage=storage, study_name="s")

        def write() -> None:
            with transaction(storage):
                study.set_user_attr("a", 1)
                if inner:
                    with transaction(storage):
                        study.set_user_attr("b", 1)
                        raise KeyboardInterrupt
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write()
        assert study.user_attrs == {}

    def test_a_rejected_write_raises_even_where_optuna_would_ignore_it(self, new_storage: NewStorage) -> None:
        storage = new_storage()
        study = optuna.create_study(storage=storage, study_name="s")

        def write() -> None:
            with transaction(storage):
                study.set_user_attr("a", 1)
                storage.record_heartbeat(None)  # type: ignore[arg-type]

        with pytest.raises(IntegrityError):
            write()
        assert study.user_attrs == {}


def test_part_of_a_study_shows_some_trials_under_the_study_s_ids() -> None:
    study = optuna.create_study()
    for _ in range(4):
        study.add_trial(trial_with())
    part = PartOfStudy(study, lambda trials: list(trials[1:3]))
    assert [trial.number for trial in part.get_trials(deepcopy=False)] == [1, 2]
    assert part.get_trials(states=(TrialState.FAIL,)) == []
    assert (id_of(part), part.study_name) == (id_of(study), study.study_name)
    assert [id_of(trial) for trial in study.trials] == [0, 1, 2, 3]
    assert system_attrs_of(study) == {}
