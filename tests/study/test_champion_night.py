"""A night on changed data: losses that were measured with other weights than the champion's are never used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.commands.app import composed_plan
from sweep.errors import EnvironmentLacks, Interrupted
from sweep.records import (
    ExampleOutcome,
    Provenance,
    Split,
    Stage,
    Status,
    TrainedAdapter,
    TrialResult,
    TrialSpec,
    WorkerSetup,
    to_json,
)
from sweep.records.champion import ChampionEvent
from sweep.store.champions import Champions
from sweep.store.drift import DriftLog
from sweep.store.outcomes import OutcomeCache
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.champion_night import ChampionNight
from sweep.study.display import Silent
from sweep.study.study_run import StudyRun
from tasks.example import Example, Splits
from tasks.versions import DataVersion
from tests.conftest import measures
from tests.store.test_champions import adapter_in, entry
from tests.study.instant import InstantPool, session_on
from tests.study.test_checks import LOADED

OLD, NEW = (tuple(Example(f"{name} {place}", "x") for place in range(3)) for name in ("old", "new"))


def splits(tune: tuple[Example, ...]) -> Splits:
    return Splits((), tune, (), (), warnings=(), data_hash=f"of {len(tune)}", train_hash=LOADED.train_hash)


class Worker:
    """Scores with the weights in the store; on its first trial of an adapter it trains that again, and may be interrupted then."""

    def __init__(self, paths: Paths, setup: WorkerSetup, trained: TrainedAdapter, *, killed: bool) -> None:
        self._store, self._cache, self._setup = TrialStore(paths), OutcomeCache(paths), setup
        self._trained, self._killed, self._is_new = trained, killed, True

    def __call__(self, spec: TrialSpec) -> TrialResult:
        adapters, again = self._store.adapters, spec.arm is not None and self._is_new
        if again:
            self._is_new = False
            adapters.reject(spec.adapter_id, "it cannot be loaded")
            with adapters.writing(spec.adapter_id) as scratch:
                adapter_in(scratch / "adapter")
                (scratch / "adapter" / "adapter_model.safetensors").write_bytes(b"of other data")
                adapters.commit(scratch, self._trained)
        nats = 4.0 if spec.arm is None else 0.125 if again else 2.0
        outcomes = {each.key: ExampleOutcome(nats, 1, None) for each in OLD + NEW}
        self._cache.add(spec.adapter_id, "losses", outcomes)
        result = TrialResult(spec, Status.COMPLETE, measures=replace(measures(nats), examples=len(outcomes)))
        self._store.save(result, self._setup, OLD + NEW, list(outcomes.values()))
        if again and self._killed:
            raise Interrupted("made up")
        return result


@pytest.fixture
def night(made_task: Path, tmp_path: Path) -> Callable[..., tuple[ChampionNight, DriftLog]]:
    """A night whose worker trains the champion's adapter again; another one begins where that ended."""
    plan = composed_plan(["study.name=s", "model=tiny", "task=jsonl", f"task.path={made_task}", "task.metric=accuracy"])
    paths, pool = Paths(tmp_path / "mlruns"), InstantPool()

    def run() -> StudyRun:
        return StudyRun(plan, paths, Silent(), session_on(pool, paths.root), LOADED)

    spec = run().spec(Stage.CERTIFY, plan.arm, 0, split=Split.CERTIFY)
    provenance = Provenance({}, "cpu", "made", LOADED.base_hash, LOADED.data_hash, 1)
    trained = TrainedAdapter(spec.adapter, plan.arm, plan.training, 0, 1, "", 1, 1, 1, 0.0, 1.0, provenance)
    history, drift = Champions(paths, "s"), DriftLog(paths.drift("s"))
    first = replace(entry(1, ChampionEvent.VERDICT), recipe=to_json(plan.arm), training=to_json(trained))
    history.append(first, adapter=adapter_in(tmp_path / "a"), rows=DataVersion.of(splits(OLD)))

    def begun(*, killed: bool) -> tuple[ChampionNight, DriftLog]:
        if not pool.begun:
            pool.outcome = Worker(paths, plan.setup, trained, killed=killed)
        after = splits(OLD + NEW)
        return ChampionNight(run(), after, DataVersion.of(after), history, drift), drift

    return begun


@pytest.mark.parametrize("killed", [False, True])
def test_losses_of_other_weights_are_measured_again(
    night: Callable[..., tuple[ChampionNight, DriftLog]], tmp_path: Path, killed: bool
) -> None:
    first, drift = night(killed=killed)
    with pytest.raises(Interrupted if killed else EnvironmentLacks):
        first.refreshed()
    assert drift.points() == []
    again, _ = night(killed=killed)
    again.refreshed()
    (point,) = drift.points()
    assert (point.old, point.new, point.base_new) == (2.0, 2.0, 4.0)
    known = [OutcomeCache(Paths(tmp_path / "mlruns")).known(file.name, "losses") for file in _scores(tmp_path)]
    assert all(one.nats != 0.125 for each in known for one in each.values())


def _scores(folder: Path) -> list[Path]:
    return list((folder / "mlruns" / "scores").glob("*/*"))
