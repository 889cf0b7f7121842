"""A study goes on in the type of products that it began with, whatever the machine's `auto` is by then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import yaml

from sweep.commands.app import composed_plan
from sweep.records import StudyPlan
from sweep.search.storage import StudyDatabase
from sweep.store.identity import study_identity
from sweep.store.paths import Paths
from sweep.study.run import identity_to_continue, with_stored_compute
from tests.config.conftest import hosts

WORDS = ["model=tiny", "study.name=known"]


@dataclass(frozen=True)
class Summary:
    study_name: str
    user_attrs: dict[str, Any]


@dataclass
class Database:
    """The studies of a database, as far as continuing one needs them."""

    studies: list[Summary] = field(default_factory=list)

    def add(self, plan: StudyPlan, *, before_the_key: bool = False) -> str:
        config = yaml.safe_load(plan.config)
        if before_the_key:
            del config["quant"]["compute"]
        identity = study_identity(plan, "data")
        attributes = {"data_hash": "data", "config": yaml.safe_dump(config), "opened": float(len(self.studies))}
        self.studies.append(Summary(f"{plan.name}@{identity}", attributes))
        return identity

    def get_all_studies(self) -> list[Summary]:
        return self.studies


class Machine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._patch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)

    def is_(self, *, fast: bool = False, gpu: bool = False) -> None:
        """What `auto` sees: a processor with or without fast bf16, and a GPU that has it."""
        module = "sweep.config.compute"
        self._patch.setattr(f"{module}.multiplies_bfloat16_fast", lambda cpuinfo: fast)
        hosts(self._patch, "A100, 81920, 80000, 8.0\n" if gpu else "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def continued(database: Database, *words: str) -> tuple[str, str]:
    """The type in which the command's study goes on, and its identity."""
    storage = cast(StudyDatabase, database)
    plan = with_stored_compute(composed_plan([*WORDS, *words]), "data", storage, Paths.here())
    assert yaml.safe_load(plan.config)["quant"]["compute"] == plan.setup.quant.compute
    return plan.setup.quant.compute, identity_to_continue(plan, "data", storage, Paths.here())


def test_on_a_machine_with_another_type(machine: Machine) -> None:
    database = Database()
    machine.is_(fast=False)
    known = database.add(composed_plan(WORDS))
    machine.is_(fast=True)
    assert continued(database) == ("float32", known)
    chosen, new = continued(database, "quant.compute=bfloat16")
    assert (chosen, new != known) == ("bfloat16", True)
    database.add(composed_plan([*WORDS, "quant.compute=bfloat16"]))
    assert continued(database) == ("bfloat16", new)  # the one of this machine's own type comes first
    machine.is_(fast=False)
    assert continued(database) == ("float32", known)


def test_of_a_version_before_the_key(machine: Machine) -> None:
    database = Database()
    machine.is_(fast=False)
    known = database.add(composed_plan(WORDS), before_the_key=True)
    for fast in (False, True):
        machine.is_(fast=fast)
        assert continued(database) == ("float32", known)
    machine.is_(gpu=True)
    assert continued(database) == ("auto", known)  # the GPU's own type, which identities did not name


def test_another_search_is_a_new_study(machine: Machine) -> None:
    database = Database()
    machine.is_(fast=False)
    known = database.add(composed_plan(WORDS))
    machine.is_(fast=True)
    chosen, identity = continued(database, "train.steps=7")
    assert (chosen, identity != known) == ("bfloat16", True)
