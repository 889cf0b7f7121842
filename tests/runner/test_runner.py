"""Running trials with either engine: each ends in its own way, and a complete one is on disk by then."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sweep.commands.app import composed_plan
from sweep.errors import ConfigurationError, DataError, EnvironmentLacks
from sweep.records import Quantization, Split, Stage, Status, StudyPlan, TrialResult, TrialSpec
from sweep.runner.requirements import Requirements
from sweep.runner.runner import EndedTrial, TrialRunner
from sweep.runner.setup import load_setup
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.training.encoding import Encoded
from sweep.training.engine import PackBroke
from sweep.training.quantization import onednn_multiplies_bfloat16
from tests.conftest import arm
from tests.runner.conftest import HeardProgress


@pytest.fixture(params=["packed", "trainer"])
def plan(request: pytest.FixtureRequest, made_task: Path) -> StudyPlan:
    return composed_plan(
        [
            "model=tiny",
            "task=jsonl",
            f"task.path={made_task}",
            "task.metric=exact_match",
            "train.steps=6",
            "train.batch_size=2",
            "evaluate.examples=8",
            "evaluate.general_paragraphs=1",
            "evaluate.max_new_tokens=4",
            "executor.workers=1",
            "executor.threads=1",
            f"engine={request.param}",
        ]
    )


@pytest.fixture
def runner(plan: StudyPlan, tmp_path: Path) -> TrialRunner:
    return TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns")))


@pytest.fixture
def spec(plan: StudyPlan) -> Callable[..., TrialSpec]:
    def make(identity: str, rank: int = 4, rate: float = 2e-3, **changes: object) -> TrialSpec:
        made = TrialSpec(identity * 32, "made", Stage.EXPLORE, arm(rank, learning_rate=rate), plan.training, 0)
        return replace(made, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Sets how many bytes a file may have; a write that exceeds it fails like one to a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def to_the_end(runner: TrialRunner) -> dict[str, TrialResult]:
    return {name: ended.result for name, ended in ends_of(runner).items()}


def ends_of(runner: TrialRunner) -> dict[str, EndedTrial]:
    ends: dict[str, EndedTrial] = {}
    while not runner.idle:
        ends |= {ended.result.spec.identity[0]: ended for ended in runner.advance()}
    return ends


def test_each_ends_in_its_own_way(runner: TrialRunner, spec: Callable[..., TrialSpec], tmp_path: Path) -> None:
    store = TrialStore(Paths(tmp_path / "mlruns"))
    heard = HeardProgress()
    runner.begin(spec("a"), heard)
    runner.begin(spec("b", rate=1e30), HeardProgress())
    runner.begin(spec("c", report_every=2), HeardProgress(prune=True))
    runner.begin(spec("d", arm=None, stage=Stage.BASE), HeardProgress())
    ended = to_the_end(runner)
    assert {name: result.status for name, result in ended.items()} == {
        "a": Status.COMPLETE,
        "b": Status.FAILED,
        "c": Status.PRUNED,
        "d": Status.COMPLETE,
    }
    assert "diverged" in str(ended["b"].reason)
    assert [step.step for step in ended["a"].history] == [1, 2, 3, 4, 5, 6]
    assert store.find("a" * 32) == ended["a"]
    assert store.find("b" * 32) is None
    assert heard.steps == [1, 2, 3, 4, 5, 6]
    assert heard.losses == [step.loss for step in ended["a"].history]
    assert ended["a"].measures is not None
    assert ended["d"].measures is not None
    assert ended["a"].measures.loss < ended["d"].measures.loss
    assert ended["a"].measures.peak_bytes > ended["a"].measures.base_bytes


def test_a_disk_that_takes_no_more_is_no_failure_of_the_trial(
    runner: TrialRunner, spec: Callable[..., TrialSpec], file_size_limit: Callable[[int], None]
) -> None:
    runner.begin(spec("a"), HeardProgress())
    file_size_limit(1000)
    with pytest.raises(EnvironmentLacks, match=r"File too large; raise the limit .* then run the same command again"):
        to_the_end(runner)


@pytest.mark.skipif(not onednn_multiplies_bfloat16(), reason="this processor does not multiply bf16")
def test_the_type_of_products_is_recorded(plan: StudyPlan, spec: Callable[..., TrialSpec], tmp_path: Path) -> None:
    losses: dict[str, float] = {}
    for compute in ("float32", "bfloat16"):
        setup = replace(plan.setup, quant=replace(plan.setup.quant, compute=compute))
        runner = TrialRunner(load_setup(setup, Paths(tmp_path / compute)))
        runner.begin(spec("a"), HeardProgress())
        ended = to_the_end(runner)["a"]
        assert ended.provenance is not None
        assert ended.provenance.compute == compute
        assert ended.measures is not None
        losses[compute] = ended.measures.loss
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.02)


def test_a_finished_adapter_is_evaluated_again(runner: TrialRunner, spec: Callable[..., TrialSpec]) -> None:
    runner.begin(spec("a"), HeardProgress())
    trained = to_the_end(runner)["a"]
    runner.begin(spec("f", stage=Stage.FINAL, split=Split.TEST, adapter_of="a" * 32), HeardProgress())
    ended = to_the_end(runner)
    assert ended["f"].status is Status.COMPLETE
    assert ended["f"].measures is not None
    assert trained.measures is not None
    assert ended["f"].measures.adapter_bytes == trained.measures.adapter_bytes
    assert ended["f"].measures.trainable_parameters == trained.measures.trainable_parameters
    assert ended["f"].history == ()
    assert ended["f"].measures.train_seconds == 0


def test_another_evaluation_of_a_trained_adapter_trains_nothing(
    runner: TrialRunner, spec: Callable[..., TrialSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.begin(spec("a", adapter="e" * 32), HeardProgress())
    trained = to_the_end(runner)["a"]

    def never(*_: object) -> None:
        raise AssertionError("an adapter was trained again")

    monkeypatch.setattr(type(runner._engine), "begin", never)
    evaluated: list[int] = []
    evaluate = type(runner._engine).evaluate

    def counted(engine: object, adapted: object, encoded: Sequence[Encoded], *rest: object) -> object:
        evaluated.append(len(encoded))
        return evaluate(engine, adapted, encoded, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(runner._engine), "evaluate", counted)
    runner.begin(spec("b", adapter="e" * 32), HeardProgress())
    again = to_the_end(runner)["b"]
    assert evaluated == []  # every example was evaluated before
    assert again.measures is not None
    assert trained.measures is not None
    assert again.measures.loss == trained.measures.loss
    assert again.measures.train_seconds == trained.measures.train_seconds
    assert again.measures.peak_bytes == trained.measures.peak_bytes
    assert again.history == trained.history
    runner.begin(spec("c", adapter="e" * 32, stage=Stage.CERTIFY, split=Split.CERTIFY), HeardProgress())
    on_certify = to_the_end(runner)["c"]
    assert on_certify.measures is not None
    assert evaluated == [on_certify.measures.examples]  # the general prose is known, too
    assert TrialStore(Paths(tmp_path / "mlruns")).find("c" * 32) == on_certify


def test_a_damaged_adapter_is_set_aside_and_trained_again(
    runner: TrialRunner, spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    runner.begin(spec("a"), HeardProgress())
    trained = to_the_end(runner)["a"]
    weights = tmp_path / f"mlruns/adapters/aa/{'a' * 32}/adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    runner.begin(spec("f", stage=Stage.FINAL, split=Split.TEST, adapter_of="a" * 32), HeardProgress())
    ended = to_the_end(runner)["f"]
    assert ended.status is Status.COMPLETE
    assert len(ended.history) == 6
    assert ended.history == trained.history
    assert list((tmp_path / "mlruns/adapters/aa").glob(".*.damaged-1/adapter/adapter_model.safetensors"))


def test_a_diverged_trial_leaves_the_worker_sound(runner: TrialRunner, spec: Callable[..., TrialSpec]) -> None:
    runner.begin(spec("b", rate=1e30), HeardProgress())
    (ended,) = ends_of(runner).values()
    assert "diverged" in str(ended.result.reason)
    assert ended.worker_is_sound
    runner.begin(spec("a"), HeardProgress())
    assert to_the_end(runner)["a"].status is Status.COMPLETE


def test_running_out_of_memory_before_training_is_infeasible(
    runner: TrialRunner, spec: Callable[..., TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr("sweep.evaluation.evaluator.Evaluator.base_prose", out_of_memory)
    runner.begin(spec("a"), HeardProgress())
    (ended,) = ends_of(runner).values()
    assert ended.result.status is Status.INFEASIBLE
    assert not ended.worker_is_sound


def test_memory_that_suffices_for_one_example_suffices_for_the_trial(
    runner: TrialRunner, spec: Callable[..., TrialSpec]
) -> None:
    loaded = runner._loaded
    failed: list[int] = []
    longest = max(len(item) for examples, _ in loaded.data.evaluated_examples() for item in examples)

    def fail(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        tokens = arguments[0].shape[0] * arguments[0].shape[1]
        if not torch.is_grad_enabled() and tokens > longest:
            failed.append(tokens)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    module = loaded.base.model.get_submodule(loaded.base.linear_modules[0])
    runner.begin(spec("a"), HeardProgress())
    with module.register_forward_pre_hook(fail):
        (result,) = to_the_end(runner).values()
    assert failed
    assert result.status is Status.COMPLETE, result.reason


def test_memory_is_predicted_from_the_longest_examples_of_all_splits(
    plan: StudyPlan, made_task: Path, tmp_path: Path
) -> None:
    file = made_task / "test.jsonl"
    *rows, last = file.read_text().splitlines()
    long = json.loads(last)
    file.write_text("\n".join([*rows, json.dumps({**long, "prompt": f"{long['prompt']} {'x ' * 90}"})]))
    data = load_setup(plan.setup, Paths(tmp_path / "mlruns")).data
    longest = {split: max(map(len, data.examples(split))) for split in Split}
    assert longest[Split.TEST] > longest[Split.TUNE]
    predicted = [max(map(len, examples)) for examples, _ in data.evaluated_examples()]
    assert predicted[: len(Split)] == list(longest.values())


def test_other_data_or_another_base_is_refused(plan: StudyPlan, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "mlruns")
    with pytest.raises(DataError, match="data set was changed"):
        load_setup(plan.setup, paths, requirements=Requirements(data_hash="0" * 64))
    with pytest.raises(EnvironmentLacks, match="base model's files were changed"):
        load_setup(plan.setup, paths, requirements=Requirements(base_hash="0" * 64))


def test_a_base_for_arms_with_their_own_quantization(
    plan: StudyPlan, spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    loaded = load_setup(plan.setup, Paths(tmp_path / "mlruns"), requirements=Requirements(quant="int8"))
    assert loaded.setup.quant == Quantization("int8", double_quant=False, compute=plan.setup.quant.compute)
    runner = TrialRunner(loaded)
    with pytest.raises(ValueError, match="is for a base with quant=nf4, this one has quant=int8"):
        runner.begin(spec("a", arm=replace(arm(4), quant="nf4")), HeardProgress())
    result = runner.run(spec("b", arm=replace(arm(4), quant="int8")), HeardProgress())
    assert result.status is Status.COMPLETE
    other = TrialRunner(load_setup(plan.setup, Paths(tmp_path / "mlruns"))).run(spec("c"), HeardProgress())
    assert result.measures is not None
    assert other.measures is not None
    assert result.measures.base_bytes != other.measures.base_bytes


def test_a_split_with_too_few_fitting_examples_is_refused(plan: StudyPlan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"certify: \d+ examples of 512 tokens or fewer .* at least 99"):
        load_setup(plan.setup, Paths(tmp_path / "mlruns"), requirements=Requirements(least={"certify": 99, "test": 1}))


def test_an_unknown_target_module_is_a_configuration_error(runner: TrialRunner, spec: Callable[..., TrialSpec]) -> None:
    def run() -> None:
        runner.begin(spec("a", arm=replace(arm(), targets=("nowhere",))), HeardProgress())
        to_the_end(runner)

    with pytest.raises(ConfigurationError, match="nowhere"):
        run()


def test_an_error_in_a_shared_pass_blames_no_trial(
    runner: TrialRunner, plan: StudyPlan, spec: Callable[..., TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    if plan.setup.engine == "trainer":
        pytest.skip("one trial at a time")

    def out_of_memory(*_: object) -> None:
        raise RuntimeError("can't allocate memory")

    runner.begin(spec("a"), HeardProgress())
    monkeypatch.setattr("sweep.training.packed.pack.Pack.accumulate", out_of_memory)
    runner.begin(spec("b"), HeardProgress())
    with pytest.raises(PackBroke, match="allocate"):
        runner.advance()


def test_an_error_in_a_trial_s_own_pass_ends_it(
    runner: TrialRunner, plan: StudyPlan, spec: Callable[..., TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("can't allocate memory")

    where = "packed.pack.Pack.accumulate" if plan.setup.engine == "packed" else "trainer_engine.train"
    monkeypatch.setattr(f"sweep.training.{where}", out_of_memory)
    runner.begin(spec("a"), HeardProgress())
    ended = to_the_end(runner)
    assert ended["a"].status is Status.INFEASIBLE
    assert "out of memory" in str(ended["a"].reason)
    assert "train.gradient_checkpointing=true, " in str(ended["a"].reason)


DEVICE_FAILED = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize("where", ["training.packed.pack.Pack.accumulate", "evaluation.evaluator.Evaluator._outcomes"])
@pytest.mark.parametrize("trials", ["a", "ab"])
def test_a_device_that_failed_ends_no_trial(
    runner: TrialRunner,
    plan: StudyPlan,
    spec: Callable[..., TrialSpec],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    trials: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(DEVICE_FAILED)

    if plan.setup.engine == "trainer" and "packed" in where:
        where = "training.trainer_engine.train"
    for identity in trials:
        runner.begin(spec(identity), HeardProgress())
    monkeypatch.setattr(f"sweep.{where}", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        to_the_end(runner)


def test_a_device_that_failed_does_not_condemn_a_stored_adapter(
    runner: TrialRunner, spec: Callable[..., TrialSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(DEVICE_FAILED)

    runner.begin(spec("a"), HeardProgress())
    to_the_end(runner)
    monkeypatch.setattr(type(runner._engine.for_arm(None)), "load", fail)
    runner.begin(spec("b", adapter="a" * 32), HeardProgress())
    with pytest.raises(RuntimeError, match="illegal memory access"):
        runner.advance()
    assert not list((tmp_path / "mlruns/adapters/aa").glob(".*.damaged*"))


def test_memory_that_runs_out_in_the_check_of_packing_is_named(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plan.setup.engine == "trainer":
        pytest.skip("nothing is checked")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr("sweep.training.packed.engine.packed_losses", fail)
    with pytest.raises(EnvironmentLacks, match=r"out of memory while a few examples .* task\.max_length"):
        load_setup(plan.setup, Paths(tmp_path / "mlruns"))
