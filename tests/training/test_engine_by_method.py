"""Packed trials and trials of the Trainer engine in one process: each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.methods import methods, trains_packed
from sweep.records import Arm, TrialSpec
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded
from sweep.training.engine import Engine, TrainedTrial
from sweep.training.engine_by_method import EngineByMethod
from sweep.training.engines import open_engine, open_engines
from sweep.training.losses_and_answers import AnswerRule
from sweep.training.quantization import weights_hash

Loader = Callable[[str], LoadedBase]
Maker = Callable[..., TrialSpec]
STEPS = 6


def specs(spec: Maker) -> dict[str, TrialSpec]:
    prompt = Arm(0, 0.0, 0.0, (), 1e-1, "prompt_tuning", own=(("tokens", 4), ("init", "vocabulary")))
    made = {
        "lora": spec(4, steps=STEPS),
        "dora": spec(4, steps=STEPS, method="dora"),
        "wide": spec(8, seed=1, steps=STEPS + 2, dropout=0.1),
        "prompt": replace(spec(4, steps=STEPS), arm=prompt),
        "full": replace(spec(4, steps=STEPS), arm=Arm(0, 0.0, 0.0, (), 1e-3, "full")),
    }
    return {name: replace(one, identity=name) for name, one in made.items()}


def losses_of(engine: Engine, each: TrainedTrial, encoded: list[Encoded]) -> list[float]:
    assert each.error is None
    assert each.adapted is not None
    (one,) = engine.evaluate([each.adapted], encoded, AnswerRule(4))
    return [outcome.nats for outcome in one.outcomes]


def ended(engine: Engine, trials: int) -> Iterator[list[TrainedTrial]]:
    while trials:
        over = engine.advance()
        trials -= len(over)
        if over:
            yield over


def test_a_trial_is_the_same_beside_trials_of_the_other_engine(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker, tmp_path: Path
) -> None:
    base = load_tiny("none")
    before = weights_hash(base.model)
    alone: dict[str, list[float]] = {}
    for name, one in specs(spec).items():
        engine, _ = open_engine("packed" if trains_packed(one.arm) else "trainer", base, encoded[:2])
        engine.begin(one, encoded, lambda adapted, step: None)
        ((over,),) = ended(engine, 1)
        alone[name] = losses_of(engine, over, encoded)
        assert over.adapted is not None
        over.adapted.release()

    engine, note = open_engines("packed", base, encoded[:2])
    assert (type(engine), note) == (EngineByMethod, None)
    for one in specs(spec).values():
        engine.begin(one, encoded, lambda adapted, step: None)
    together: dict[str, list[float]] = {}
    for over in ended(engine, len(alone)):
        packed = {trains_packed(each.spec.arm) for each in over}
        assert len(packed) == 1, "an adapter on the base comes alone"
        assert packed == {True} or len(over) == 1
        for each in over:
            together[each.spec.identity] = losses_of(engine, each, encoded)
            assert each.adapted is not None
            each.adapted.save(tmp_path / each.spec.identity)
            each.adapted.release()
    assert list(together)[:2] == ["dora", "full"], "the pack waits"
    assert together.keys() == alone.keys()
    for name, own in alone.items():
        assert together[name] == pytest.approx(own, abs=1e-4), name
    assert weights_hash(base.model) == before
    for name, one in specs(spec).items():
        again = engine.for_arm(one.arm).load(tmp_path / name)
        loaded = losses_of(engine, TrainedTrial(one, again, None, 0.0), encoded)
        assert loaded == pytest.approx(together[name], abs=1e-4), name
        again.release()


def test_the_memory_of_the_pack_is_not_that_of_its_neighbour(
    load_tiny: Loader, encoded: list[Encoded], spec: Maker
) -> None:
    engine, _ = open_engines("packed", load_tiny("none"), encoded[:2])
    seen: list[int] = []
    engine.begin(specs(spec)["wide"], encoded, lambda adapted, step: None)
    engine.begin(specs(spec)["dora"], encoded, lambda adapted, step: seen.append(adapted.neighbour_bytes))
    (over,) = next(ended(engine, 2))
    assert over.adapted is not None
    over.adapted.release()
    assert seen == [engine.bare().neighbour_bytes] * STEPS
    assert seen[0] > 0
    assert len(list(ended(engine, 1))) == 1


def test_checkpointing_reaches_both(load_tiny: Loader, encoded: list[Encoded], spec: Maker) -> None:
    engine, _ = open_engines("packed", load_tiny("none"), encoded[:2])
    engine.auto_checkpointing = True
    both = {engine.for_arm(each.arm) for each in specs(spec).values()}
    assert len(both) == 2
    assert all(each.auto_checkpointing for each in both)
    engine.auto_checkpointing = False
    assert not any(each.auto_checkpointing for each in both)


@pytest.mark.parametrize("name", methods())
def test_each_method_has_its_engine(name: str) -> None:
    arm = Arm(4, 2.0, 0.0, ("q_proj",), 1e-3, name)
    assert trains_packed(arm) == methods()[name].packed
    assert trains_packed(replace(arm, method="of another version"))
