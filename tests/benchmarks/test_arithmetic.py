"""Operations are counted as torch counts them, and seconds add up to the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import account
from benchmarks.arithmetic import Shapes, Work, forward, packed, padded, shapes_of, together, training
from benchmarks.machine import Ran
from sweep.records import EvaluatedTrial, TrialSpec
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.packed.pack import Pack
from sweep.training.packed.slot import SlotBatch
from sweep.training.sources import find_model
from tests.conftest import arm, result, study_record
from tests.training.conftest import TINY, encoded, examples, load_tiny, spec

__all__ = ["encoded", "examples", "load_tiny", "spec"]

SMALL = Shapes({"model.layers.0.self_attn.q_proj": (2, 3), "model.layers.0.self_attn.o_proj": (3, 2)}, (2, 10), 3)


@pytest.fixture
def shapes(tmp_path: Path) -> Shapes:
    return shapes_of(find_model(TINY, Paths(tmp_path)).folder)


def products_counted(run: Callable[[], Any]) -> int:
    """Operations of all matrix products but those of attention, as torch counts them."""

    def linear(inputs: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Any = None, **__: Any) -> int:
        return 2 * inputs[0] * inputs[1] * weight[0]

    def added_in_place(output: Sequence[int], left: Sequence[int], right: Sequence[int], **_: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    unknown = {torch.ops.mkldnn._linear_pointwise: linear, torch.ops.aten.addmm_: added_in_place}
    with FlopCounterMode(display=False, custom_mapping=unknown) as counter:
        run()
    counts = counter.get_flop_counts()["Global"]
    attention = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)
    return sum(count for operation, count in counts.items() if operation not in attention)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("o_proj", "down_proj", "k_proj")])
def test_torch_counts_the_same(
    targets: tuple[str, ...],
    shapes: Shapes,
    load_tiny: Callable[[str], LoadedBase],
    encoded: list[Encoded],
    spec: Callable[..., TrialSpec],
) -> None:
    pack, batch = Pack(load_tiny("none")), encoded[:3]
    slot = pack.add(spec(4, targets=targets), encoded)
    counted = products_counted(lambda: pack.accumulate([SlotBatch(slot.adapter, batch, 10)]))
    assert slot.spec.arm is not None
    # attention is compared with a count by hand below
    assert counted == training(shapes, replace(packed(batch), pairs=0), slot.spec.arm)


def test_a_pass_by_hand() -> None:
    work = Work(tokens=5, predictions=2, pairs=9)
    linear, head, attention = 2 * 5 * (6 + 6), 2 * 2 * 20, 4 * 9 * 3
    assert forward(SMALL, work, None) == linear + head + attention
    recipe = arm(rank=7, targets=("q_proj",))
    adapter = 2 * 5 * 7 * (2 + 3)
    assert forward(SMALL, work, recipe) == linear + head + attention + adapter
    # q_proj is the first layer's: nobody wants the gradient of its inputs
    back = 2 * 5 * 6 + head + 2 * attention + 2 * 5 * 7 * ((2 + 3) + 3)
    assert training(SMALL, work, recipe) == forward(SMALL, work, recipe) + back


def item(prompt: Sequence[int], completion: Sequence[int], example: Encoded) -> Encoded:
    return replace(example, prompt=tuple(prompt), completion=tuple(completion))


def test_what_is_packed_and_what_is_padded(encoded: list[Encoded]) -> None:
    batch = [item((1, 2, 3), (7, 8), encoded[0]), item((1, 2, 4, 5), (9,), encoded[0])]
    # [1 2] once, then [3 7] and [4 5]; each of these sees the two before it
    assert packed(batch) == Work(tokens=6, predictions=3, pairs=3 + (4 + 3) + (4 + 3))
    assert padded(batch) == Work(tokens=10, predictions=10, pairs=2 * 15)
    assert together([packed(batch), padded(batch)]) == Work(16, 13, 47, passes=2)


def test_parts_add_up_to_the_whole_process() -> None:
    def ended(started: float, seconds: float, **phases: float) -> Any:
        made = result(arm(), 0.5)
        assert made.measures is not None
        return replace(made, started=started, seconds=seconds, measures=replace(made.measures, phases=phases))

    record = study_record([ended(110, 10, train=8, score=1), ended(111, 12, train=9, score=1.5)])
    assert record.base is not None
    record = replace(record, base=EvaluatedTrial(-1, ended(104, 5, score=4), None))
    parts = account.parts(record, Ran(began=100, seconds=30, output=""), workers=2)
    assert parts == {
        "loading": 4,
        "score": 3.25,
        "train": 8.5,
        "recording and waiting": 19 - 11.75,
        "closing": 7,
    }
    assert sum(parts.values()) == 30


def test_share_of_the_roof() -> None:
    reached = account.achieved(
        {"train": 8 * 10**9, "score": 2 * 10**9}, {"train": 4, "score": 1}, {"train": 8, "score": 4}, 10
    )
    assert reached["parts"]["train"] == {"seconds": 4, "gflops": 2, "roof_gflops": 8, "share_of_roof": 0.25}
    assert reached["parts"]["score"]["share_of_roof"] == 0.5
    assert (reached["seconds_at_the_roof"], reached["share_of_whole"]) == (1.5, 0.15)


def test_all_trials_are_counted(shapes: Shapes, encoded: list[Encoded]) -> None:
    data = account.Data(encoded[:4], encoded[4:], batch=2)
    one, two = ([arm(rank)] for rank in (2, 8))
    both = account.needed(shapes, [*one, *two], data)
    for part in ("train", "peer_train", "peer_score"):
        assert both[part] == account.needed(shapes, one, data)[part] + account.needed(shapes, two, data)[part]
    # the bare base is scored once a study, and by the peer not at all
    alone = [account.needed(shapes, arms, data)["score"] for arms in (one, two)]
    assert both["score"] == sum(alone) - forward(shapes, data.scoring(), None)
    assert both["peer_train"] > both["train"]
