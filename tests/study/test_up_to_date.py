"""When nothing is left to do for a night's data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records.champion import ChampionEntry, ChampionEvent
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.paths import Paths
from sweep.study.refresh import is_up_to_date
from tasks.example import Example, Splits
from tasks.versions import DataVersion
from tests.store.test_champions import adapter_in, entry
from tests.store.test_drift import POINT


def data(*prompts: str) -> DataVersion:
    rows = tuple(Example(prompt, "x") for prompt in prompts)
    return DataVersion.of(Splits(rows, (), (), (), warnings=(), data_hash="+".join(prompts), train_hash=""))


class Night:
    """A champion of the data `a`, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        paths = Paths(folder / "mlruns")
        self.history, self.drift = Champions(paths, "s"), DriftLog(paths.drift("s"))
        self._adapter = adapter_in(folder / "source")
        self.add(ChampionEvent.VERDICT, data("a"))

    def add(self, event: ChampionEvent, of: DataVersion, version: int = 0) -> ChampionEntry:
        number = len(self.history.entries()) + 1
        made = replace(entry(number, event, version), data_hash=of.data_hash)
        return (
            self.history.append(made, adapter=self._adapter, rows=of)
            if made.brings_adapter
            else self.history.append(made)
        )

    def is_up_to_date(self, of: DataVersion) -> bool:
        return is_up_to_date(self.history, self.drift, of)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_the_same_rows_are_no_change_whatever_their_order(night: Night) -> None:
    assert night.is_up_to_date(data("a"))
    assert not night.is_up_to_date(data("a", "b"))
    night.add(ChampionEvent.PROMOTION, data("a", "b"))
    assert night.is_up_to_date(data("b", "a"))


@pytest.mark.parametrize(("condition", "done"), [("good", True), ("worse", False), ("unclear", False)])
def test_a_good_champion_is_an_answer_and_the_others_ask_for_a_challenger(
    night: Night, condition: str, done: bool
) -> None:
    changed = data("a", "b")
    night.drift.add(replace(POINT, version=1, data_hash=changed.data_hash, condition=condition))
    assert night.is_up_to_date(changed) is done
    assert not night.is_up_to_date(data("a", "c"))


@pytest.mark.parametrize("event", [ChampionEvent.KEPT, ChampionEvent.UNTESTED])
def test_data_lead_to_one_answer(night: Night, event: ChampionEvent) -> None:
    night.add(event, data("a", "b"), version=1)
    assert night.is_up_to_date(data("a", "b"))
    assert not night.is_up_to_date(data("a", "b", "c"))


def test_a_rollback_stays_until_the_data_change(night: Night) -> None:
    changed = data("a", "b")
    night.add(ChampionEvent.PROMOTION, changed)
    night.add(ChampionEvent.ROLLBACK, data("a"), version=1)
    assert night.is_up_to_date(changed)
    assert not night.is_up_to_date(data("a", "b", "c"))
