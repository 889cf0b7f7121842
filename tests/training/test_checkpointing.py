"""Gradient checkpointing: the same numbers, and `auto` where a trial would not fit into memory otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sweep.records import Arm, CapacityRequest, SlotCapacity, Training, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine
from sweep.training.engines import open_engine
from sweep.training.packed.engine import PackedEngine
from sweep.training.packed.memory import capacity
from sweep.training.packed.memory.capacity import RESERVE, Forecast
from sweep.training.packed.memory.single import estimated_peak, padded
from sweep.training.packed.pack import Pack
from tests.training.conftest import encoded, examples, load_tiny, spec

__all__ = ["encoded", "examples", "load_tiny", "spec"]

ENGINES = ("packed", "trainer")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded]) -> Engine:
    opened, note = open_engine(request.param, load_tiny("none"), encoded[:2])
    assert note is None
    return opened


def losses(engine: Engine, asked: TrialSpec, encoded: list[Encoded]) -> list[float]:
    own: list[float] = []
    engine.begin(asked, encoded, lambda adapted, step: own.append(step.loss))
    while not (ended := engine.advance()):
        pass
    assert ended[0].error is None
    assert ended[0].adapted is not None
    ended[0].adapted.release()
    return own


@pytest.mark.parametrize(
    ("recipe", "auto", "wanted"),
    [("auto", False, False), ("auto", True, True), (True, False, True), (False, True, False)],
)
def test_the_recipe_decides_and_auto_leaves_it_to_the_worker(
    engine: Engine,
    encoded: list[Encoded],
    spec: Callable[..., TrialSpec],
    recipe: bool | str,
    auto: bool,
    wanted: bool,
) -> None:
    asked = spec(4, steps=3, dropout=0.0)
    plain = losses(engine, replace(asked, training=replace(asked.training, gradient_checkpointing=False)), encoded)
    engine.auto_checkpointing = auto
    seen: list[bool] = []
    model = engine._base.model  # type: ignore[attr-defined]
    handle = model.register_forward_pre_hook(
        lambda module, inputs: seen.append(
            any(getattr(each, "gradient_checkpointing", False) for each in module.modules())
        )
    )
    own = losses(engine, replace(asked, training=replace(asked.training, gradient_checkpointing=recipe)), encoded)
    handle.remove()
    engine.auto_checkpointing = False
    assert set(seen) == {wanted}
    assert own == pytest.approx(plain, abs=1e-6)


@pytest.fixture
def request_of(spec: Callable[..., TrialSpec]) -> CapacityRequest:
    asked = spec(8)
    assert asked.arm is not None
    return CapacityRequest(None, (asked.arm,), replace(asked.training, batch_size=24), asked.seed, workers=1)


@pytest.fixture
def long_ones(encoded: list[Encoded]) -> list[Encoded]:
    return [replace(encoded[0], prompt=(*each.prompt, *each.prompt * 12)) for each in encoded * 3]


class FixedForecast(Forecast):
    """Predicts `parameters` bytes per slot."""

    def peak(self, slots: int) -> int:
        return self.parameters * slots


class TestPacked:
    @pytest.fixture
    def peaks(self, monkeypatch: pytest.MonkeyPatch) -> dict[bool, int]:
        """Forecasts with and without checkpointing, in place of measured ones: two layers of a tiny model differ by less than the noise."""
        known = {False: 2 * 10**9, True: 10**9}

        def forecast(base: LoadedBase, pack: Pack, arm: Arm, training: Training, *others: object) -> FixedForecast:
            peak = known[training.uses_checkpointing(auto=False)]
            return FixedForecast(None, peak, frozenset(), ())  # type: ignore[arg-type]

        monkeypatch.setattr(capacity, "forecast", forecast)
        return known

    def test_auto_is_on_where_one_trial_fits_only_with_it(
        self,
        load_tiny: Callable[[str], LoadedBase],
        long_ones: list[Encoded],
        request_of: CapacityRequest,
        peaks: dict[bool, int],
    ) -> None:
        engine = PackedEngine(load_tiny("none"), [])

        def decided(budget: int | None, **recipe: object) -> SlotCapacity:
            request = replace(request_of, training=replace(request_of.training, **recipe))  # type: ignore[arg-type]
            return engine.capacity(request, budget, long_ones, [])

        between = round((peaks[True] + peaks[False]) / 2 / (1 - RESERVE))
        assert decided(between).checkpointing
        assert not decided(2 * between).checkpointing
        assert not decided(between, gradient_checkpointing=False).checkpointing
        assert decided(2 * between, gradient_checkpointing=True).checkpointing
        # a single slot is predicted too, where there is a limit
        assert engine.capacity(replace(request_of, slots=1), between, long_ones, []).checkpointing
        assert engine.capacity(replace(request_of, slots=1), None, long_ones, []) == SlotCapacity(1, 1)

    def test_nothing_fits(
        self, load_tiny: Callable[[str], LoadedBase], long_ones: list[Encoded], request_of: CapacityRequest
    ) -> None:
        capacity = PackedEngine(load_tiny("none"), []).capacity(request_of, 1, long_ones, [])
        assert capacity.slots == 1
        assert capacity.predicted is not None
        assert capacity.predicted > 1


def test_the_trainer_estimates_whether_a_trial_needs_it(
    load_tiny: Callable[[str], LoadedBase], long_ones: list[Encoded], request_of: CapacityRequest
) -> None:
    base = load_tiny("none")
    engine, _ = open_engine("trainer", base, [])
    without, with_it = (
        estimated_peak(base, request_of, padded(long_ones), checkpointing=each) for each in (False, True)
    )
    assert with_it < without
    between = round((without + with_it) / 2 / (1 - RESERVE))
    found = engine.capacity(request_of, between, long_ones, [])
    assert (found.slots, found.checkpointing) == (1, True)
    assert not engine.capacity(request_of, 2 * between, long_ones, []).checkpointing
    assert engine.capacity(request_of, None, long_ones, []) == SlotCapacity(1, 1)


def test_the_trainer_estimates_the_arm_that_takes_most(
    load_tiny: Callable[[str], LoadedBase], long_ones: list[Encoded], request_of: CapacityRequest
) -> None:
    def peak(*arms: Arm) -> int:
        asked = replace(request_of, largest=arms)
        return estimated_peak(load_tiny("none"), asked, padded(long_ones[:2]), checkpointing=False)

    none = Arm(0, 0.0, 0.0, (), 1e-3)
    few, many = (
        replace(none, method="prompt_tuning", own=(("tokens", tokens), ("init", "vocabulary"))) for tokens in (4, 64)
    )
    assert peak(few) < peak(few, many, few)
    # 16 bytes per trained number, less the activations of the few virtual tokens
    assert peak(replace(none, method="full")) - peak(few) > 8 * load_tiny("none").parameters
