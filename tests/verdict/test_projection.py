"""What it would take to settle an open bracket: seeds, certify examples, or both, whichever is cheapest."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np
import pytest

from sweep.records import StudyRecord
from sweep.verdict import judge_looks
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.projection import MOST_TIMES, example_counts
from sweep.verdict.record import Need, Verdict
from tests.conftest import certified_record
from tests.verdict.studies import base_of, losses_of

LADDER = (2, 4, 8)


def judged(losses: np.ndarray, *, seed_price: float = 1.0, example_price: float = 1.0, **more: int | None) -> Verdict:
    def cost(need: Need) -> float:
        return need.seeds * (seed_price + need.examples * example_price)

    seeds, examples = losses.shape[1:]
    return judge_looks(losses, LADDER, (seeds,), margin=0.02, base=base_of(examples), cost=cost, **more)


def noisy(examples: int = 40, *, seed_sd: float, example_sd: float, seeds: int = 4) -> np.ndarray:
    return losses_of((0.5, 0.2, 0.2), seeds=seeds, examples=examples, seed_sd=seed_sd, example_sd=example_sd, draw=3)


EXAMPLES_MATTER = noisy(seed_sd=0.002, example_sd=0.25)
SEEDS_MATTER = noisy(seed_sd=0.1, example_sd=0.01)
BOTH = noisy(seed_sd=0.05, example_sd=0.3)


def test_noisy_examples_call_for_more_examples() -> None:
    verdict = judged(EXAMPLES_MATTER)
    assert verdict.seeds_needed is None
    assert verdict.examples_needed is not None
    assert verdict.needed == Need(4, verdict.examples_needed)
    assert f"{verdict.examples_needed} certify examples instead of 40 would probably decide it" in verdict.reasons[-1]


def test_noisy_seeds_call_for_more_seeds() -> None:
    verdict = judged(SEEDS_MATTER)
    assert verdict.seeds_needed is not None
    assert verdict.examples_needed is None
    assert verdict.needed == Need(verdict.seeds_needed, 40)
    assert f"({verdict.seeds_needed} in total) would probably decide it" in verdict.reasons[-1]


def test_the_cheaper_way_goes_by_what_each_costs() -> None:
    dear_seeds = judged(BOTH, seed_price=1e6, example_price=1.0).needed
    dear_examples = judged(BOTH, seed_price=1.0, example_price=1e6).needed
    assert dear_seeds is not None
    assert dear_examples is not None
    assert dear_seeds.seeds <= dear_examples.seeds
    assert dear_seeds.examples > dear_examples.examples


def test_examples_that_the_data_does_not_have_are_not_advised() -> None:
    verdict = judged(EXAMPLES_MATTER, available=50)
    assert verdict.needed is None
    assert "the data has 50: add validation data" in verdict.reasons[-1]
    rich = judged(EXAMPLES_MATTER, available=10_000)
    assert rich.needed is not None
    assert "if the data has that many" not in rich.reasons[-1]
    assert "if the data has that many" in judged(EXAMPLES_MATTER).reasons[-1]


@pytest.mark.parametrize("available", [None, 40, 41, 100, 10_000_000])
def test_counts_ascend_and_hold_what_there_is(available: int | None) -> None:
    counts = list(example_counts(40, available))
    assert counts[0] == 40
    assert counts == sorted(set(counts))
    assert available is None or available in counts
    assert max(counts) >= 0.7 * MOST_TIMES * 40


def test_more_examples_are_about_as_many_as_it_takes() -> None:
    settled = []
    for draw in range(40):
        whole = losses_of((0.5, 0.2, 0.2), seeds=4, examples=4000, seed_sd=0.002, example_sd=0.25, draw=draw)
        verdict = judged(whole[:, :, :40])
        if verdict.examples_needed is not None and verdict.examples_needed <= 4000:
            later = judged(whole[:, :, : verdict.examples_needed])
            settled.append(later.bracket == (4, 4))
    assert len(settled) > 15
    assert np.mean(settled) > 0.5


def advice(record: StudyRecord) -> tuple[Conclusion, list[str]]:
    found = conclude(record)
    assert found is not None
    assert found.settle is not None
    return found, shlex.split(found.settle[0])[6:]


CLOSE = {2: 0.45, 4: 0.335, 8: 0.30, 16: 0.30}


def test_command_has_both_keys_if_both_are_needed() -> None:
    record = certified_record(CLOSE)
    # a long search, beside which so many seeds are not out of proportion
    found, words = advice(replace(record, trials=record.trials * 200))
    assert found.verdict is not None
    needed = found.verdict.needed
    assert needed is not None
    assert needed.examples > 80
    assert needed.seeds > 3
    assert words == [f"certify.seeds={needed.seeds}", f"evaluate.certify_examples={needed.examples}"]


def test_examples_alone_cost_no_training() -> None:
    record = certified_record(dict.fromkeys((2, 4, 8), 0.3), seed_noise=0.001, example_noise=1.0)
    found, words = advice(record)
    assert found.verdict is not None
    needed = found.verdict.needed
    assert needed is not None
    assert needed.seeds == 3
    assert words == [f"evaluate.certify_examples={needed.examples}"]
    # two seconds for 80 examples, three ranks of three seeds; a training takes 23 seconds
    assert found.settle is not None
    assert found.settle[1] == pytest.approx((needed.examples - 80) * 2.0 / 80 * 9)
    assert f"With {needed.examples} certify examples (now 80), it would probably be decided." in found.headline


def test_study_that_has_used_all_its_data_is_advised_to_add_some() -> None:
    record = certified_record(dict.fromkeys((2, 4, 8), 0.3), seed_noise=0.001, example_noise=1.0)
    found = conclude(replace(record, available={"certify": 80}))
    assert found is not None
    assert any("add validation data" in reason for reason in found.reasons)
    assert found.verdict is not None
    assert found.verdict.needed is None
