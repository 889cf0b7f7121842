"""A trial with a cut arm trains nothing: its adapter is cut from the parent's, which is trained only if it is missing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from sweep.commands.app import composed_plan
from sweep.records import Arm, Split, Stage, Status, StudyPlan, TrialResult, TrialSpec
from sweep.runner.cutting import Cutter
from sweep.runner.runner import TrialRunner
from sweep.runner.setup import LoadedSetup, load_setup
from sweep.store.adapters import ADAPTER, AdapterStore
from sweep.store.identity import adapter_identity, trial_identity
from sweep.store.paths import Paths
from sweep.training.cut import CutAdapter, cut_adapter
from sweep.training.packed.pack import Pack
from tests.conftest import arm, write_made_task
from tests.runner.conftest import HeardProgress

PARENT = arm(8, learning_rate=1e-2)


class Killed(BaseException):
    """Ends the process, as far as the code can tell."""


def plan_of(folder: Path, engine: str, quant: str = "nf4") -> StudyPlan:
    return composed_plan(
        [
            "model=tiny",
            "task=jsonl",
            f"task.path={folder}",
            "task.metric=exact_match",
            "train.steps=6",
            "train.batch_size=2",
            "evaluate.examples=8",
            "evaluate.certify_examples=8",
            "evaluate.general_paragraphs=1",
            "evaluate.max_new_tokens=4",
            "executor.workers=1",
            "executor.threads=1",
            f"engine={engine}",
            f"quant={quant}",
        ]
    )


@pytest.fixture(params=["packed", "trainer"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], LoadedSetup]:
    """The setup of an engine and a quantization, loaded once."""
    root = tmp_path_factory.mktemp("setups")
    task = write_made_task(root / "made")
    return cache(lambda engine, quant: load_setup(plan_of(task, engine, quant).setup, Paths(root / "mlruns")))


@pytest.fixture
def loaded(engine: str, load: Callable[[str, str], LoadedSetup], tmp_path: Path) -> LoadedSetup:
    return replace(load(engine, "nf4"), paths=Paths(tmp_path / "mlruns"))


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(Paths(tmp_path / "mlruns"))


def cut_to(rank: int, parent: Arm = PARENT) -> Arm:
    return replace(parent, rank=rank, cut_from=parent.rank)


def spec_of(loaded: LoadedSetup, recipe: Arm, seed: int = 0, **asked: Any) -> TrialSpec:
    """A certify trial as a study asks for it."""
    setup, known = loaded.setup, loaded.description
    training = plan_of(Path("unused"), setup.engine).training
    asked = {"split": Split.CERTIFY, **asked}
    stage = Stage.FINAL if asked["split"] is Split.TEST else Stage.CERTIFY
    return TrialSpec(
        trial_identity(setup, known.base_hash, known.data_hash, recipe, training, seed, **asked),
        "made",
        stage,
        recipe,
        training,
        seed,
        adapter=adapter_identity(setup, known.base_hash, known.train_hash, recipe, training, seed),
        **asked,
    )


def run(loaded: LoadedSetup, *specs: TrialSpec) -> list[TrialResult]:
    """The results of trials that are begun together on a worker of their own, in order."""
    runner = TrialRunner(loaded)
    for spec in specs:
        runner.begin(spec, HeardProgress())
    ended: dict[str, TrialResult] = {}
    while not runner.idle:
        for one in runner.advance():
            ended[one.result.spec.identity] = one.result
            assert one.worker_is_sound
    return [ended[spec.identity] for spec in specs]


@contextmanager
def counted(owner: type, name: str) -> Iterator[list[tuple[Any, ...]]]:
    """The arguments of each call of a method within the block."""
    calls: list[tuple[Any, ...]] = []
    original = getattr(owner, name)

    def method(self: object, *arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return original(self, *arguments, **named)

    setattr(owner, name, method)
    try:
        yield calls
    finally:
        setattr(owner, name, original)


def test_its_figures_of_training_are_the_parent_s(loaded: LoadedSetup, store: AdapterStore) -> None:
    (whole,) = run(loaded, spec_of(loaded, PARENT))
    record = store.find(whole.spec.adapter)
    assert record is not None
    folder = store.folder(record.identity).parent
    with store.writing(record.identity) as scratch:  # as if its training had taken days
        shutil.copytree(folder / ADAPTER, scratch / ADAPTER)
        shutil.rmtree(folder)
        store.commit(scratch, replace(record, seconds=1e6, phases={"train": 1e6}))
    with counted(type(loaded.engine), "begin") as trained:
        (cut,) = run(loaded, spec_of(loaded, cut_to(2)))
    assert trained == []
    assert cut.status is Status.COMPLETE
    assert whole.measures is not None
    assert cut.measures is not None
    assert cut.history == whole.history
    assert cut.measures.train_seconds == 1e6
    assert cut.seconds < 1e5
    assert cut.measures.phases["cut"] > 0
    assert cut.measures.peak_bytes == whole.measures.peak_bytes
    assert cut.measures.train_loss == whole.measures.train_loss
    assert cut.measures.trainable_parameters * 4 == whole.measures.trainable_parameters
    assert cut.measures.adapter_bytes < whole.measures.adapter_bytes
    assert 0 < (cut.measures.energy_kept or 0) < 1
    assert whole.measures.energy_kept is None
    found = store.find(cut.spec.adapter)
    assert found is not None
    assert (found.arm, found.energy_kept) == (cut_to(2), cut.measures.energy_kept)
    assert found.seconds >= found.phases["cut"]


def test_a_missing_parent_is_trained_once_for_all_its_cuts(loaded: LoadedSetup, store: AdapterStore) -> None:
    specs = [spec_of(loaded, cut_to(rank)) for rank in (1, 2, 4)]
    with counted(type(loaded.engine), "begin") as trained:
        results = run(loaded, *specs)
    assert len(trained) == 1
    assert [result.status for result in results] == [Status.COMPLETE] * 3
    assert [result.spec for result in results] == specs
    parent = store.find(spec_of(loaded, PARENT).adapter)
    assert parent is not None
    assert parent.arm == PARENT
    assert all(result.history == parent.history for result in results)
    kept = [result.measures.energy_kept or 0 for result in results if result.measures]
    assert kept == sorted(kept)
    for spec in specs:
        config = json.loads((store.folder(spec.adapter) / "adapter_config.json").read_text())
        assert config["r"] == spec.rank
    with counted(type(loaded.engine), "begin") as trained:
        (whole,) = run(loaded, spec_of(loaded, PARENT))
    assert trained == []
    assert whole.history == parent.history


def test_a_parent_in_training_is_waited_for(loaded: LoadedSetup) -> None:
    with counted(type(loaded.engine), "begin") as trained:
        results = run(loaded, spec_of(loaded, PARENT), spec_of(loaded, cut_to(2)), spec_of(loaded, PARENT, seed=1))
    assert len(trained) == 2
    assert [result.status for result in results] == [Status.COMPLETE] * 3
    assert results[1].history == results[0].history


def test_an_adapter_does_not_depend_on_how_its_trial_went(
    loaded: LoadedSetup, store: AdapterStore, tmp_path: Path
) -> None:
    run(loaded, *(spec_of(loaded, cut_to(rank), seed) for rank in (4, 2) for seed in (0, 1)))
    spec = spec_of(loaded, cut_to(2))
    weights = store.folder(spec.adapter) / "adapter_model.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(store.folder(spec.adapter).parent)
    (again,) = run(loaded, replace(spec, identity="f" * 32))
    assert again.status is Status.COMPLETE
    assert weights.read_bytes() == before


def test_a_cut_does_not_last_as_long_as_those_before_it(
    loaded: LoadedSetup, store: AdapterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(loaded, spec_of(loaded, PARENT))
    clock, late, delays = time.perf_counter, [0.0], iter((1000.0, 0.0))

    def slow(source: Path, target: Path, cut: Arm) -> CutAdapter:
        late[0] += next(delays)
        return cut_adapter(source, target, cut)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + late[0])
    monkeypatch.setattr("sweep.runner.cutting.cut_adapter", slow)
    results = run(loaded, *(spec_of(loaded, cut_to(rank)) for rank in (2, 4)))
    first, second = (store.find(result.spec.adapter) for result in results)
    assert first is not None
    assert second is not None
    assert results[0].seconds > first.seconds >= first.phases["cut"] >= 1000
    assert results[1].seconds > second.seconds >= second.phases["cut"]
    assert results[1].seconds < 1000, "it did not wait for the first"


@pytest.mark.parametrize("wrong", ["damaged", "of another rank"])
def test_an_unusable_parent_is_trained_again(
    loaded: LoadedSetup, store: AdapterStore, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole,) = run(loaded, spec_of(loaded, PARENT))
    folder = store.folder(whole.spec.adapter)
    if wrong == "damaged":
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-7])
    else:
        record = store.find(whole.spec.adapter)
        assert record is not None
        config = json.loads((folder / "adapter_config.json").read_text())
        with store.writing(record.identity) as scratch:
            shutil.copytree(folder, scratch / ADAPTER)
            (scratch / ADAPTER / "adapter_config.json").write_text(json.dumps({**config, "r": 5}))
            shutil.rmtree(folder.parent)
            store.commit(scratch, record)
    with counted(type(loaded.engine), "begin") as trained:
        results = run(loaded, spec_of(loaded, cut_to(2)), spec_of(loaded, cut_to(4)))
    assert len(trained) == 1
    assert [result.status for result in results] == [Status.COMPLETE] * 2
    assert "a trained adapter is damaged" in capsys.readouterr().out
    assert list(folder.parent.parent.glob(".*.damaged-1"))


def test_a_cut_adapter_that_is_damaged_is_cut_again(loaded: LoadedSetup, store: AdapterStore) -> None:
    (first,) = run(loaded, spec_of(loaded, cut_to(2)))
    weights = store.folder(first.spec.adapter) / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-7])
    with counted(type(loaded.engine), "begin") as trained:
        (again,) = run(loaded, replace(first.spec, identity="f" * 32))
    assert trained == []
    assert weights.read_bytes() == whole
    assert again.measures is not None
    assert first.measures is not None
    assert again.measures.loss == pytest.approx(first.measures.loss, abs=1e-6)


def test_a_parent_that_diverges_fails_its_cuts(loaded: LoadedSetup) -> None:
    wild = replace(PARENT, learning_rate=1e30)
    with counted(type(loaded.engine), "begin") as trained:
        results = run(loaded, spec_of(loaded, cut_to(2, wild)), spec_of(loaded, cut_to(4, wild)))
    assert len(trained) == 1
    assert [result.status for result in results] == [Status.FAILED] * 2
    assert all("diverged" in str(result.reason) for result in results)


def test_another_evaluation_of_a_cut_adapter_cuts_nothing(loaded: LoadedSetup) -> None:
    (cut,) = run(loaded, spec_of(loaded, cut_to(2)))
    with counted(Cutter, "cut") as cuts, counted(type(loaded.engine), "begin") as trained:
        again, tested = run(
            loaded,
            replace(cut.spec, identity="f" * 32, answers=False),
            spec_of(loaded, cut_to(2), split=Split.TEST, adapter_of=cut.spec.identity),
        )
    assert cuts == trained == []
    assert cut.measures is not None
    assert again.measures is not None
    assert tested.measures is not None
    assert again.measures.loss == pytest.approx(cut.measures.loss, abs=1e-6)
    assert again.measures.train_seconds == cut.measures.train_seconds
    assert again.measures.energy_kept == tested.measures.energy_kept == cut.measures.energy_kept
    assert tested.measures.adapter_bytes == cut.measures.adapter_bytes
    assert tested.measures.train_seconds == 0
    assert tested.history == ()


def test_a_test_trial_whose_adapter_is_gone_is_cut_again(loaded: LoadedSetup, store: AdapterStore) -> None:
    (cut,) = run(loaded, spec_of(loaded, cut_to(2)))
    shutil.rmtree(store.folder(cut.spec.adapter).parent)
    shutil.rmtree(store.folder(spec_of(loaded, PARENT).adapter).parent)
    (tested,) = run(loaded, spec_of(loaded, cut_to(2), split=Split.TEST, adapter_of=cut.spec.identity))
    assert tested.status is Status.COMPLETE
    assert cut.measures is not None
    assert tested.measures is not None
    assert tested.measures.energy_kept == pytest.approx(cut.measures.energy_kept)
    assert store.find(cut.spec.adapter) is not None


def test_a_kill_while_it_is_stored_leaves_nothing_half(
    loaded: LoadedSetup, store: AdapterStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole,) = run(loaded, spec_of(loaded, PARENT))
    spec = replace(spec_of(loaded, cut_to(2)), answers=False)
    record = store.find(spec_of(loaded, PARENT).adapter)
    for write in range(8):
        flushed: list[Path] = []

        def killed_at(path: Path, last: int = write, flushed: list[Path] = flushed) -> None:
            flushed.append(path)
            if len(flushed) > last:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr("sweep.store.whole_folder._flush", killed_at)
            with pytest.raises(Killed):
                run(loaded, spec)
        after_rename = flushed[-1] == store.folder(spec.adapter).parent.parent
        assert (store.find(spec.adapter) is not None) is after_rename
        if after_rename:
            break
    else:
        raise AssertionError("the folder was never renamed")
    with counted(Cutter, "cut") as cuts:
        (result,) = run(loaded, spec)
    assert cuts == []
    assert result.status is Status.COMPLETE
    assert store.find(whole.spec.adapter) == record
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("answers", [False, True])
def test_cuts_are_evaluated_in_shared_passes(
    load: Callable[[str, str], LoadedSetup], tmp_path: Path, answers: bool
) -> None:
    loaded = replace(load("packed", "nf4"), paths=Paths(tmp_path / "mlruns"))
    run(loaded, replace(spec_of(loaded, PARENT), answers=False))
    specs = [replace(spec_of(loaded, cut_to(rank)), answers=answers) for rank in (1, 2, 4)]
    others = [replace(spec, identity=digit * 32, adapter=digit * 32) for spec, digit in zip(specs, "abc", strict=True)]
    with counted(Pack, "forward") as alone:
        one_by_one = [result for spec in specs for result in run(loaded, spec)]
    with counted(Pack, "forward") as shared:
        at_once = run(loaded, *others)
    losses = [[result.measures.loss for result in group if result.measures] for group in (one_by_one, at_once)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    # both the losses and the prose of three adapters in one pass each; one by one, each runner evaluates the base's prose, too
    assert len(shared) < len(alone) / 2


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_engines_agree(load: Callable[[str, str], LoadedSetup], tmp_path: Path, quant: str) -> None:
    losses: list[list[float]] = []
    kept: list[list[float | None]] = []
    for engine in ("packed", "trainer"):
        paths = Paths(tmp_path / engine)
        loaded = replace(load(engine, quant), paths=paths)
        results = run(loaded, *(spec_of(loaded, cut_to(rank)) for rank in (2, 4)))
        measures = [result.measures for result in results if result.measures]
        losses.append([one.loss for one in measures])
        kept.append([one.energy_kept for one in measures])
        for result in results:
            weights = load_file(AdapterStore(paths).folder(result.spec.adapter) / "adapter_model.safetensors")
            assert {min(matrix.shape) for matrix in weights.values()} == {result.spec.rank}
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert kept[0] == pytest.approx(kept[1], abs=1e-3)


@pytest.mark.parametrize("init", ["eva", "loftq", "orthogonal"])
def test_an_adapter_that_started_elsewhere_is_cut(loaded: LoadedSetup, store: AdapterStore, init: str) -> None:
    parent = replace(PARENT, init=init)
    specs = [
        spec_of(loaded, parent),
        spec_of(loaded, cut_to(8, replace(parent, rank=16))),
        spec_of(loaded, cut_to(3, parent)),
    ]
    whole, wide, narrow = run(loaded, *specs)
    assert {each.status for each in (whole, wide, narrow)} == {Status.COMPLETE}
    for spec, rank in zip(specs, (8, 8, 3), strict=True):
        config = json.loads((store.folder(spec.adapter_id) / "adapter_config.json").read_text())
        assert config["r"] == rank
    cut = store.find(specs[2].adapter_id)
    assert cut is not None
    assert 0 < (cut.energy_kept or 0) < 1
    assert specs[0].adapter_id != spec_of(loaded, PARENT).adapter_id
