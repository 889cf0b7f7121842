"""A trial whose adapter is in training elsewhere waits for it: no adapter is trained twice at the same time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.records import Split, Status, TrialResult
from sweep.runner import waiting
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import LoadedSetup, load_setup
from sweep.store.adapters import AdapterStore
from sweep.store.paths import Paths
from tests.conftest import write_made_task
from tests.runner.conftest import HeardProgress
from tests.runner.test_cutting import PARENT, counted, cut_to, plan_of, run, spec_of


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> LoadedSetup:
    root = tmp_path_factory.mktemp("setup")
    return load_setup(plan_of(write_made_task(root / "made"), "packed").setup, Paths(root / "mlruns"))


@pytest.fixture
def loaded(setup: LoadedSetup, tmp_path: Path) -> LoadedSetup:
    return replace(setup, paths=Paths(tmp_path / "mlruns"))


@pytest.fixture
def other(tmp_path: Path) -> AdapterStore:
    """The store as another worker sees it."""
    return AdapterStore(Paths(tmp_path / "mlruns"))


class Heard(HeardProgress):
    """Keeps the phases, too."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[str] = []

    def progress(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        self.phases.append(phase)
        super().progress(phase, done, total, loss)


def finished(runner: TrialRunner) -> TrialResult:
    while True:
        for ended in runner.advance():
            return ended.result


def test_a_cut_waits_for_a_parent_that_another_worker_trains(
    loaded: LoadedSetup, other: AdapterStore, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = spec_of(loaded, PARENT).adapter
    run(loaded, spec_of(loaded, PARENT))
    folder = other.folder(parent).parent
    elsewhere = folder.rename(folder.with_name(".elsewhere"))
    assert other.claim(parent)
    runner, heard = TrialRunner(loaded), Heard()
    with counted(type(loaded.engine), "begin") as trained:
        runner.begin(spec_of(loaded, cut_to(2)), heard)
        assert [runner.advance() for _ in range(3)] == [[]] * 3
        assert not runner.idle
        elsewhere.rename(folder)
        other.release(parent)
        result = finished(runner)
    assert trained == []
    assert result.status is Status.COMPLETE
    assert set(heard.phases[:3]) == {"wait"}
    said = capsys.readouterr().out
    assert (
        said.count(
            "r2of8-lr1e-02-s0 waits for the adapter of r8-lr1e-02-s0, which another trial has in training (at most 3600 s)"
        )
        == 1
    )


def test_other_trials_go_on_meanwhile(loaded: LoadedSetup, other: AdapterStore) -> None:
    assert other.claim(spec_of(loaded, PARENT).adapter)
    runner = TrialRunner(loaded)
    runner.begin(spec_of(loaded, cut_to(2)), HeardProgress())
    runner.begin(spec_of(loaded, PARENT, seed=1), HeardProgress())
    assert finished(runner).spec.seed == 1


def test_it_is_trained_here_if_the_other_worker_gives_up(loaded: LoadedSetup, other: AdapterStore) -> None:
    spec = spec_of(loaded, PARENT)
    assert other.claim(spec.adapter)
    runner = TrialRunner(loaded)
    runner.begin(spec, HeardProgress())
    assert runner.advance() == []
    other.release(spec.adapter)
    assert finished(runner).status is Status.COMPLETE
    assert other.claim(spec.adapter), "a stored adapter is nobody's any more"


def test_the_wait_is_limited(loaded: LoadedSetup, other: AdapterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_SECONDS", 0.0)
    assert other.claim(spec_of(loaded, PARENT).adapter)
    (result,) = run(loaded, spec_of(loaded, cut_to(2)))
    assert result.status is Status.COMPLETE


def test_one_worker_trains_it_once_for_a_cut_and_for_itself(loaded: LoadedSetup, other: AdapterStore) -> None:
    run(loaded, *(spec_of(loaded, arm) for arm in (PARENT, cut_to(2))))
    for arm in (PARENT, cut_to(2)):
        shutil.rmtree(other.folder(spec_of(loaded, arm).adapter).parent)
    specs = [spec_of(loaded, arm, split=Split.TEST, adapter_of="c" * 32) for arm in (cut_to(2), PARENT)]
    specs = [replace(spec, identity=digit * 32) for spec, digit in zip(specs, "ab", strict=True)]
    with counted(type(loaded.engine), "begin") as trained:
        results = run(loaded, *specs)
    assert [result.status for result in results] == [Status.COMPLETE] * 2
    assert len(trained) == 1


@pytest.mark.parametrize("learning_rate", [1e30, 1e-2])
def test_a_claim_ends_with_the_training(loaded: LoadedSetup, other: AdapterStore, learning_rate: float) -> None:
    spec = spec_of(loaded, replace(PARENT, learning_rate=learning_rate))
    run(loaded, spec)
    assert not loaded.paths.adapter_lock(spec.adapter).exists()
    assert other.claim(spec.adapter)
