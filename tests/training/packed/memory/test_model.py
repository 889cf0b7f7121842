"""Predicted memory: its arithmetic, and a comparison with the measured memory of a process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import Arm, CapacityRequest, Quantization, TrialSpec
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase, load_base
from sweep.training.encoding import Encoded
from sweep.training.losses_and_answers import AnswerRule, Label
from sweep.training.memory import PeakMemory
from sweep.training.packed.engine import PackedEngine, SlotAdaptedModel
from sweep.training.packed.layout import Virtual, lay_out
from sweep.training.packed.memory.capacity import (
    DEFAULT_SLOTS,
    RESERVE,
    Forecast,
    forecast,
    largest_arm,
    slot_capacity,
)
from sweep.training.packed.memory.model import (
    EvaluationPass,
    MemoryModel,
    ModelSizes,
    PassCosts,
    PassShape,
    evaluation_passes,
    parameters_of,
    shape_of,
    training_passes,
)
from sweep.training.packed.memory.probes import fit_costs, shorten
from sweep.training.quantization import onednn_multiplies_bfloat16
from tasks import Example
from tests.conftest import arm
from tests.training.conftest import TINY, encoded, examples, load_tiny, spec

__all__ = ["encoded", "examples", "load_tiny", "spec"]

SIZES = ModelSizes(layers=4, heads=4, query_width=64, key_width=32, vocabulary=1000, number_bytes=4, scores_held=512)
MODEL = MemoryModel(
    SIZES,
    resident=10**9,
    training=PassCosts(4, 6, token=30_000, logits=4.0),
    evaluation=PassCosts(1, 2, token=2_000, logits=2.0),
)
WIDE = {"q": (64, 64), "v": (64, 32)}


def item(prompt: Sequence[int], completion: Sequence[int]) -> Encoded:
    return Encoded(Example(prompt="", completion=""), tuple(prompt), tuple(completion))


texts = st.lists(st.integers(0, 3), min_size=1, max_size=12)
batches = st.lists(st.builds(item, texts, texts), min_size=1, max_size=5)


@given(batches, st.integers(1, 4))
def test_the_shape_is_that_of_the_layout(batch: list[Encoded], slots: int) -> None:
    for virtual in (Virtual(), Virtual(embedded=5), Virtual(given=4)):
        layout = lay_out([batch] * slots, virtual=[virtual] * slots)
        tables = tuple((*table.queries.shape, table.keys.shape[1]) for table in layout.tables)
        assert shape_of(batch, virtual).times(slots) == PassShape(len(layout.ids), len(layout.labels), tables)


@given(batches, st.integers(1, 7), st.integers(1, 64))
def test_more_slots_a_larger_rank_or_more_tokens_take_more(batch: list[Encoded], slots: int, rank: int) -> None:
    def peak(slots: int, rank: int, trained: list[Encoded]) -> int:
        return MODEL.training_peak(slots, parameters_of(arm(rank), WIDE, WIDE), [shape_of(trained)])

    known = peak(slots, rank, batch)
    assert known > MODEL.resident
    assert peak(slots + 1, rank, batch) > known
    assert peak(slots, rank + 1, batch) > known
    longer = [replace(each, completion=(*each.completion, 1)) for each in batch]
    assert peak(slots, rank, longer) > known


def test_a_peak_by_hand() -> None:
    shape = PassShape(tokens=10, predictions=3, tables=((2, 6, 10),))
    gathered, table, logits = 4 * (12 * 64 + 2 * 20 * 32), 4 * 4 * 120, 4 * 1000 * 3
    taken = 4 * gathered + 6 * table + 10 * 30_000 + 4 * logits
    parameters = parameters_of(arm(8), WIDE, WIDE)
    assert parameters == 8 * (64 + 64 + 64 + 32)
    assert MODEL.training_peak(1, parameters, [shape]) == 10**9 + 16 * parameters + taken
    assert MODEL.training_peak(2, parameters, [shape]) == 10**9 + 2 * (16 * parameters + taken)
    scored = gathered + 2 * table + 10 * 2_000 + 2 * logits + 50 * SIZES.cached_token
    passes = [EvaluationPass(shape, cached=50)]
    # evaluated trials have no gradients and moments any more; training ones do
    assert MODEL.evaluation_peak(1, 1, parameters, passes) == 10**9 + 4 * parameters + scored
    assert MODEL.evaluation_peak(3, 1, parameters, passes) == 10**9 + (4 + 2 * 16) * parameters + scored


def test_scores_that_are_never_in_memory_at_once_take_none() -> None:
    shape = PassShape(tokens=700, predictions=1, tables=((2, 50, 50), (1, 600, 600)))
    assert SIZES.scores(shape) == 4 * 4 * 5_000
    assert replace(SIZES, scores_held=600).scores(shape) == 4 * 4 * (5_000 + 360_000)


def test_the_peak_is_the_larger_of_training_and_evaluation() -> None:
    trained = shape_of([item([1] * 5, [2])])
    (scored,) = evaluation_passes([item([1] * 50, [2] * 40)], 1, None)
    alone = MODEL.evaluation_peak(1, 1, 0, [scored]), MODEL.training_peak(1, 0, [trained])
    asked = Forecast(MODEL, 0, frozenset([trained]), [([item([1] * 50, [2] * 40)], None)])
    assert asked.peak(1) == max(alone) == alone[0]
    shorter = replace(asked, evaluated=[([item([1], [2])], None)])
    assert shorter.peak(1) == alone[1]


def test_answering_needs_a_cache_and_a_pass_over_the_labels() -> None:
    examples = [item([number, *[1] * 20], [7, 8]) for number in range(30)]
    labels = (Label("a", (7, 8)), Label("b", (7, 9, 8)))
    (read,) = evaluation_passes(examples, 2, None)
    assert read.cached == 0
    again, answering = evaluation_passes(examples, 2, AnswerRule(3, labels))
    assert (again.shape, again.cached) == (read.shape, read.shape.tokens)
    # 60 prompts with the nodes (7), (7 9) of the tree; the cache has doubled
    assert answering.shape.tokens == 120
    assert answering.cached == 2 * (read.shape.tokens + 120)


@pytest.mark.parametrize("known", [MODEL.training, MODEL.evaluation])
def test_costs_are_recovered_from_measurements(known: PassCosts) -> None:
    shapes = [shape_of([item([1] * prompt, [1] * completion)]) for prompt, completion in ((32, 1), (2, 31), (200, 1))]
    short, worded, long = ((shape, known.bytes(shape, SIZES) + 0.0) for shape in shapes)
    costs = fit_costs(replace(known, token=0.0, logits=0.0), SIZES, short, worded, long)
    assert (costs.token, costs.logits) == pytest.approx((known.token, known.logits))


def test_a_shortened_batch_has_the_same_proportions() -> None:
    batch = [item([1] * 60 + [number] * 40 * number, [2] * 10) for number in range(1, 5)]
    cut = shorten(batch, 200)
    assert 150 <= shape_of(cut).tokens <= 210
    assert shape_of(cut).predictions / shape_of(cut).tokens == pytest.approx(
        shape_of(batch).predictions / shape_of(batch).tokens, rel=0.1
    )
    assert shorten(batch[:1], 10**6) == batch[:1]


@pytest.fixture
def engine(load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]) -> PackedEngine:
    return PackedEngine(load_tiny("none"), encoded[:3])


@pytest.fixture
def long_ones(encoded: list[Encoded]) -> list[Encoded]:
    return [replace(encoded[0], prompt=(*each.prompt, *each.prompt * 4)) for each in encoded * 3]


@dataclass(frozen=True)
class _Peaks:
    """Bytes of a process: before the passes, and at their peak as predicted and as measured."""

    resident: float
    predicted: float
    measured: float


def _peaks_of_packed_training(
    models: Path, asked: TrialSpec, long_ones: list[Encoded], slots: int, compute: str
) -> _Peaks:
    base = load_base(TINY, Quantization("none", compute=compute), Paths(models))
    engine = PackedEngine(base, long_ones[:3])
    assert asked.arm is not None
    gc.collect()
    gc.freeze()  # as in a worker
    known = forecast(base, engine.pack, asked.arm, asked.training, asked.seed, long_ones, [])
    peak = PeakMemory(base.device)
    peak.start()
    for _ in range(slots):
        engine.begin(asked, long_ones, lambda adapted, step: None)
    while not engine.advance():
        pass
    return _Peaks(known.model.resident, known.peak(slots), peak.peak())


@pytest.mark.slow
@pytest.mark.parametrize(
    "compute",
    [
        "float32",
        pytest.param(
            "bfloat16",
            marks=[
                pytest.mark.skipif(not onednn_multiplies_bfloat16(), reason="this processor does not multiply bf16"),
            ],
        ),
    ],
)
def test_the_predicted_peak_is_the_measured_one(
    long_ones: list[Encoded], spec: Callable[..., TrialSpec], tmp_path: Path, compute: str
) -> None:
    # the peak is the largest of several passes, as in a worker: the peak of one alone varies by 5 % with the allocator
    asked = spec(8, steps=4)
    asked = replace(asked, training=replace(asked.training, batch_size=len(long_ones)))
    # a process of its own, as a worker is: what other tests left in this one would be a large part of the peak
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        peaks = processes.submit(_peaks_of_packed_training, tmp_path, asked, long_ones, 8, compute).result(timeout=120)
    # the prediction must be within 10 % of the process; passes take a large part, so a wrong model would fail
    assert peaks.measured > 1.3 * peaks.resident
    assert peaks.predicted == pytest.approx(peaks.measured, rel=0.1)


def test_an_ended_trial_keeps_only_its_adapter(
    engine: PackedEngine, encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    engine.begin(spec(8, steps=1), encoded, lambda adapted, step: None)
    (ended,) = engine.advance()
    assert isinstance(ended.adapted, SlotAdaptedModel)
    adapter = ended.adapted.adapter
    assert adapter is not None
    held = (*adapter.vectors, *(matrix for _, matrix in adapter.matrices()))
    assert all(parameter.grad is None for parameter in held)
    (again,) = engine.evaluate([ended.adapted], encoded[:2], None)
    assert all(loss.nats > 0 for loss in again.outcomes)


@given(batches, st.integers(0, 3 * 10**9), st.integers(1, 8))
def test_the_slots_are_the_most_that_fit(batch: list[Encoded], limit: int, aimed: int) -> None:
    prediction = Forecast(MODEL, 10**7, frozenset([shape_of(batch)]), [(batch, None)])
    slots = prediction.slots_within(limit, aimed)
    assert slots == 1 or prediction.peak(slots) <= (1 - RESERVE) * limit
    assert slots == aimed or prediction.peak(slots + 1) > (1 - RESERVE) * limit


class TestCapacity:
    @pytest.fixture
    def capacity_request(self, spec: Callable[..., TrialSpec]) -> CapacityRequest:
        asked = spec(8)
        assert asked.arm is not None
        return CapacityRequest(8, (asked.arm,), asked.training, asked.seed, workers=1)

    def test_a_configured_number_without_a_budget_is_used(
        self, engine: PackedEngine, capacity_request: CapacityRequest, encoded: list[Encoded]
    ) -> None:
        capacity = engine.capacity(capacity_request, None, encoded, [])
        assert (capacity.slots, capacity.predicted) == (8, None)

    def test_auto_uses_the_default_if_memory_allows_it(
        self,
        engine: PackedEngine,
        capacity_request: CapacityRequest,
        encoded: list[Encoded],
        load_tiny: Callable[[str], LoadedBase],
    ) -> None:
        capacity = engine.capacity(replace(capacity_request, slots=None), None, encoded, [(encoded, None)])
        assert capacity.slots == capacity.aimed == DEFAULT_SLOTS[load_tiny("none").device.type]

    def test_a_budget_lowers_the_number_to_one_at_least(
        self,
        engine: PackedEngine,
        capacity_request: CapacityRequest,
        long_ones: list[Encoded],
        load_tiny: Callable[[str], LoadedBase],
    ) -> None:
        capacity_request = replace(
            capacity_request, training=replace(capacity_request.training, batch_size=len(long_ones))
        )
        base = load_tiny("none")
        asked = forecast(base, engine.pack, capacity_request.largest[0], capacity_request.training, 0, long_ones, [])
        budget = round(asked.peak(4) / (1 - RESERVE) * 1.02)
        capacity = slot_capacity(base, engine.pack, capacity_request, budget, long_ones, [])
        assert 1 < capacity.slots < capacity.aimed == 8
        assert capacity.predicted is not None
        assert capacity.predicted <= (1 - RESERVE) * budget
        assert slot_capacity(base, engine.pack, capacity_request, 1, long_ones[:4], []).slots == 1


def own(method: str, **parameters: int | str) -> Arm:
    targets = ("k_proj", "v_proj", "down_proj") if method == "ia3" else ()
    return replace(arm(0, targets=targets), method=method, own=tuple(parameters.items()))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("less", "more"),
    [
        # 128 ranks of modules against 112, but 3 times as many parameters
        (arm(64), arm(16, targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))),
        (arm(8), arm(16)),
        (arm(1, targets=("q_proj",)), own("ia3")),
        (arm(16), own("prompt_tuning", tokens=200, init="vocabulary")),
        (own("prompt_tuning", tokens=8, init="vocabulary"), own("prompt_tuning", tokens=64, init="vocabulary")),
        (own("prefix_tuning", tokens=4), arm(64)),
        (replace(arm(8, targets=("q_proj",)), layers=(0,)), arm(8, targets=("q_proj",))),
        (arm(8, targets=("q_proj",)), replace(arm(4, targets=("q_proj",)), rank_pattern=(("q_proj", 64),))),
    ],
)
def test_packs_are_planned_for_the_arm_that_takes_most_memory(
    engine: PackedEngine, spec: Callable[..., TrialSpec], encoded: list[Encoded], less: Arm, more: Arm, order: int
) -> None:
    candidates = [less, more][::order]
    assert largest_arm(engine._base, engine.pack, candidates, spec().training, encoded) == more


def test_each_pass_of_a_trial_counts_once(encoded: list[Encoded], spec: Callable[..., TrialSpec]) -> None:
    training = spec().training
    assert training_passes(encoded[:4], training) == {shape_of(encoded[:2]), shape_of(encoded[2:4])}
