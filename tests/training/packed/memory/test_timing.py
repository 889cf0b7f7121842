"""How many slots are fastest, by a clock that stands still between the steps of a made-up GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import CapacityRequest, SlotCapacity, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed.memory import capacity
from sweep.training.packed.memory.timing import (
    NEAR,
    SECONDS,
    TIMED_STEPS,
    fastest,
    ladder,
    measured_timings,
    timed,
)
from sweep.training.packed.pack import Pack
from tests.training.conftest import encoded, examples, load_tiny, spec

__all__ = ["encoded", "examples", "load_tiny", "spec"]


class MadeUpGpu:
    """Steps of given lengths, by a clock that they alone move.

    Args:
        seconds: the length of a step by number of slots; a step with any other number runs out of memory.
    """

    def __init__(self, seconds: Callable[[int], float], most: int = 1 << 30) -> None:
        self.now = 0.0
        self.taken: list[int] = []
        self._seconds = seconds
        self._most = most

    def clock(self) -> float:
        return self.now

    def step(self, slots: int) -> None:
        self.taken.append(slots)
        if slots > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.now += self._seconds(slots)


def test_launches_dominate_short_steps_so_all_slots_pay() -> None:
    gpu = MadeUpGpu(lambda slots: 0.1 + 0.001 * slots)
    timings = timed(ladder(16), gpu.step, gpu.clock)
    assert list(timings) == [1, 2, 4, 8, 16]
    assert fastest(timings, 16) == 16
    assert gpu.taken == [slots for slots in timings for _ in range(1 + TIMED_STEPS)]


def test_arithmetic_dominates_long_steps_so_one_slot_is_enough() -> None:
    gpu = MadeUpGpu(lambda slots: 0.02 + 0.4 * slots)
    assert fastest(timed(ladder(16), gpu.step, gpu.clock), 16) == 1


def test_between_them_the_smallest_number_near_the_best_is_taken() -> None:
    timings = {1: 1.0, 2: 1.2, 4: 1.6, 8: 3.1, 16: 6.1}  # per slot: 1, 0.6, 0.4, 0.3875, 0.381
    assert fastest(timings, 16) == 4


def test_memory_that_runs_out_ends_the_ladder() -> None:
    gpu = MadeUpGpu(lambda slots: 0.1, most=4)
    timings = timed(ladder(16), gpu.step, gpu.clock)
    assert list(timings) == [1, 2, 4]
    assert gpu.taken[-1] == 8
    assert fastest(timings, 16) == 4


def test_other_errors_are_not_hidden() -> None:
    def broken(slots: int) -> None:
        raise RuntimeError("device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert"):
        timed([1, 2], broken)


@given(st.floats(1e-3, 20), st.floats(0, 5), st.integers(1, 16))
def test_the_measurement_is_bounded(per_slot: float, fixed: float, most: int) -> None:
    gpu = MadeUpGpu(lambda slots: fixed + per_slot * slots)
    timings = timed(ladder(most), gpu.step, gpu.clock)
    assert 1 in timings  # the first is always measured
    assert gpu.now <= max(SECONDS, (1 + TIMED_STEPS) * (fixed + per_slot))
    assert fastest(timings, most) in timings


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-3, 1e3), min_size=1), st.integers(1, 64))
def test_no_smaller_number_is_as_near_to_the_best(timings: Mapping[int, float], most: int) -> None:
    chosen = fastest(timings, most)
    assert chosen <= most
    fitting = {slots: seconds / slots for slots, seconds in timings.items() if slots <= most}
    if fitting:
        best = min(fitting.values())
        assert fitting[chosen] <= (1 + NEAR) * best
        assert all(each > (1 + NEAR) * best for slots, each in fitting.items() if slots < chosen)


@pytest.mark.parametrize(("most", "numbers"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (16, [1, 2, 4, 8, 16])])
def test_the_ladder_ends_with_what_fits(most: int, numbers: list[int]) -> None:
    assert ladder(most) == numbers


def test_timing_leaves_the_pack_as_it_was(
    load_tiny: Callable[[str], LoadedBase], encoded: list[Encoded], spec: Callable[..., TrialSpec]
) -> None:
    base, asked = load_tiny("none"), spec(4)
    assert asked.arm is not None
    pack = Pack(base)
    timings = measured_timings(pack, asked.arm, replace(asked.training, steps=1), 0, encoded, 3, base.device)
    assert list(timings) == [1, 2, 3]
    assert all(seconds > 0 for seconds in timings.values())
    assert not pack.slots


class TestCapacityOnAMadeUpGpu:
    """`slot_capacity` where the device says that it is a GPU, and passes are measured on the CPU."""

    @pytest.fixture
    def choose(
        self,
        load_tiny: Callable[[str], LoadedBase],
        encoded: list[Encoded],
        spec: Callable[..., TrialSpec],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[..., SlotCapacity]:
        asked = spec(4)
        assert asked.arm is not None
        base = load_tiny("none")
        self.measured: list[int] = []

        def made_up(
            pack: object, arm: object, training: object, seed: int, train: object, most: int, device: object
        ) -> dict[int, float]:
            self.measured.append(most)
            return {slots: 0.1 + 0.1 * slots for slots in ladder(most)}

        known = capacity.forecast(base, Pack(base), asked.arm, asked.training, 0, encoded, [])
        monkeypatch.setattr(capacity, "forecast", lambda *_: known)
        monkeypatch.setattr(capacity, "measured_timings", made_up)
        monkeypatch.setattr(capacity, "device_name", lambda device: "a GPU")
        monkeypatch.setattr(capacity, "memory_limit", lambda device, workers: 1 << 50)

        def choose(slots: int | None = None, **how: object) -> SlotCapacity:
            request = CapacityRequest(slots, (asked.arm,), asked.training, 0, 1)  # type: ignore[arg-type]
            gpu = replace(base, device=torch.device("cuda", 0))
            return capacity.slot_capacity(gpu, Pack(base), replace(request, **how), None, encoded, [])  # type: ignore[arg-type]

        return choose

    def test_the_fastest_number_is_chosen_and_reported(self, choose: Callable[..., SlotCapacity]) -> None:
        found = choose()
        assert self.measured == [16]
        assert found.slots == found.aimed == 16  # per slot 0.2, 0.15, 0.125, 0.1125, 0.10625
        assert found.timings == {slots: 0.1 + 0.1 * slots for slots in ladder(16)}

    def test_what_the_study_knows_of_this_device_is_not_measured_again(
        self, choose: Callable[..., SlotCapacity]
    ) -> None:
        table = {1: 1.0, 2: 1.0, 4: 2.0}
        found = choose(timings={"a GPU": table, "another": {1: 1.0, 16: 1.0}})
        assert (found.slots, found.timings, self.measured) == (2, table, [])
        assert choose(timings={"another": {1: 1.0}}).slots == 16
        assert self.measured == [16]

    def test_a_number_or_the_key_switches_it_off(self, choose: Callable[..., SlotCapacity]) -> None:
        assert choose(3).slots == 3
        assert choose(measures=False).slots == 16
        assert self.measured == []
