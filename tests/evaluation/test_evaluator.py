"""The evaluator, with an engine that looks losses and answers up in a table."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from sweep.errors import ConfigurationError, TrialDiverged
from sweep.evaluation.data import EvaluationData
from sweep.evaluation.evaluator import Evaluation, EvaluationRequest, Evaluator
from sweep.evaluation.forgetting import Forgetting
from sweep.records import EvaluationSettings, ExampleOutcome, Split, Stage, TrialSpec
from sweep.store.outcomes import OutcomeCache
from sweep.store.paths import Paths
from sweep.training.base_model import LoadedBase
from sweep.training.encoding import Encoded, EncodedSplit, Encoder
from sweep.training.engine import AdaptedModel, Engine
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, CompletionLoss, OnEvaluated
from tasks import Example, Splits
from tests.conftest import TRAINING, arm

TUNE = tuple(Example(prompt=f"tune {number}", completion="yes") for number in range(6))
CERTIFY = tuple(Example(prompt=f"certify {number}", completion="yes") for number in range(4))
TEST = (Example(prompt="test", completion="yes"),)
SPLITS = Splits((), TUNE, CERTIFY, TEST, (), "d" * 64, "t" * 64)


class ByteEncoder:
    """Bytes are tokens."""

    def encode_split(self, examples: Sequence[Example], longest: int, too_long: str = "drop") -> EncodedSplit:
        return EncodedSplit(tuple(self._encoded(example) for example in examples), ())

    def prose(self, text: str) -> Encoded:
        return self._encoded(Example(prompt="", completion=text[:5]))

    def question(self, example: Example) -> Encoded:
        return self._encoded(example)

    def _encoded(self, example: Example) -> Encoded:
        return Encoded(example, tuple(example.prompt.encode()), tuple(example.completion.encode()))


TRAIN = ByteEncoder().encode_split([Example("tune 3", "no"), Example("certify 1", "yes")], 96).examples


@dataclass
class TableEngine:
    """Every example has the loss that its adapter stands for.

    Attributes:
        passes: for each shared pass, the number of its adapters and of its examples.
        broken: adapters that cannot be evaluated, and the error; `together` breaks passes of several.
    """

    passes: list[tuple[int, int]] = field(default_factory=list)
    broken: dict[object, Exception] = field(default_factory=dict)

    def bare(self) -> object:
        return 4.0

    def evaluate(
        self,
        adapted: Sequence[Any],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        for key in (*adapted, *(["together"] if len(adapted) > 1 else [])):
            if key in self.broken:
                raise self.broken[key]
        self.passes.append((len(adapted), len(encoded)))
        if on_progress is not None:
            on_progress("score", len(encoded))
        losses = [tuple(CompletionLoss(loss, 1) for _ in encoded) for loss in adapted]
        said = rule.labels[0].text if rule is not None and rule.labels else "yes"
        answers = None if rule is None else tuple(said for _ in encoded)
        return [AdapterOutcomes.of(one, answers, {"score": 0.5}) for one in losses]


@pytest.fixture
def engine() -> TableEngine:
    return TableEngine()


@pytest.fixture
def evaluator(engine: TableEngine, tmp_path: Path) -> Evaluator:
    data = EvaluationData(
        SPLITS,
        cast(Encoder, ByteEncoder()),
        96,
        EvaluationSettings(general_paragraphs=2, general_questions=3, trial_questions=2),
        "exact_match",
        TRAIN,
    )
    copies = type("Copies", (), {"bytes": 0})
    base = cast(LoadedBase, type("Base", (), {"device": torch.device("cpu"), "copies": copies}))
    return Evaluator(base, cast(Engine, engine), "exact_match", data, OutcomeCache(Paths(tmp_path)))


def request(name: str, loss: float, split: Split = Split.TUNE, answers: bool = True, **given: Any) -> EvaluationRequest:
    stage = {Split.TUNE: Stage.EXPLORE, Split.CERTIFY: Stage.CERTIFY, Split.TEST: Stage.FINAL}[split]
    spec = TrialSpec(name * 32, "made", stage, arm(), TRAINING, 0, split=split, answers=answers)
    ignored = given.get("on_progress", lambda phase, done, total: None)
    return EvaluationRequest(spec, cast(AdaptedModel, loss), ignored, given.get("training_peak", (7, "training")))


def base_request(split: Split, *, answers: bool = True) -> EvaluationRequest:
    spec = TrialSpec("0" * 32, "made", Stage.BASE, None, TRAINING, 0, split=split, answers=answers)
    return EvaluationRequest(spec, cast(AdaptedModel, 4.0), lambda phase, done, total: None, None)


def evaluations(results: list[Evaluation | Exception]) -> list[Evaluation]:
    return [result for result in results if isinstance(result, Evaluation)]


def test_adapters_with_the_same_question_share_passes(evaluator: Evaluator, engine: TableEngine) -> None:
    results = evaluator.evaluate(
        [request("a", 1.0), request("b", 2.0, Split.CERTIFY), request("c", 3.0), request("d", 4.0, answers=False)]
    )
    assert [one.loss for one in evaluations(results)] == [1.0, 2.0, 3.0, 4.0]
    assert [len(one.outcomes) for one in evaluations(results)] == [6, 4, 6, 6]
    # each followed by general prose and questions, and once by the prose of the base
    assert engine.passes == [(2, 6), (2, 2), (2, 2), (1, 2), (1, 4), (1, 2), (1, 2), (1, 6), (1, 2), (1, 2)]


def test_an_evaluation_has_outcomes_metrics_and_times(evaluator: Evaluator) -> None:
    heard: list[tuple[str, int, int]] = []
    (result,) = evaluations(
        evaluator.evaluate([request("a", 1.0, on_progress=lambda *progress: heard.append(progress))])
    )
    assert result.examples == TUNE
    assert result.outcomes == (ExampleOutcome(1.0, 1, "yes", 1.0),) * 6
    assert result.metrics == {"exact_match": 1.0}
    assert result.forgetting == Forgetting(1.0, -3.0, -3.0, -3.0)
    assert set(result.phases) == {"score", "general"}
    assert (result.peak_bytes, result.peak_of) == (7, "training")
    assert heard == [("score", 6, 6)]


def test_the_base_is_compared_with_the_nearest_training_examples(evaluator: Evaluator) -> None:
    base, adapter = evaluator.evaluate([base_request(Split.CERTIFY), request("b", 2.0, Split.CERTIFY)])
    (tuned,) = evaluator.evaluate([base_request(Split.TUNE)])
    (silent,) = evaluator.evaluate([base_request(Split.CERTIFY, answers=False)])
    assert isinstance(base, Evaluation)
    assert base.nearest == {"exact_match": 1.0}, "certify 0 to 3 are nearest to certify 1"
    assert [one.nearest for one in evaluations([tuned, adapter, silent])] == [{"exact_match": 0.0}, {}, {}]


def test_general_questions_are_asked_in_every_trial(evaluator: Evaluator, engine: TableEngine) -> None:
    tested, tuned = evaluations(evaluator.evaluate([request("a", 1.0, Split.TEST), request("b", 2.0)]))
    assert tested.general_right == (True, False, False), "it says the first answer to all"
    assert tuned.general_right == (True, False), "of these the first ones"
    assert engine.passes == [(1, 1), (1, 2), (1, 3), (1, 2), (1, 6), (1, 2), (1, 2)], (
        "prose, questions, and the base's prose once"
    )


def test_an_adapter_is_asked_a_question_once(evaluator: Evaluator, engine: TableEngine) -> None:
    evaluator.evaluate([request("a", 1.0)])
    engine.passes.clear()
    (again,) = evaluations(evaluator.evaluate([request("a", 1.0, Split.TEST)]))
    assert again.general_right == (True, False, False)
    assert engine.passes == [(1, 1), (1, 1)], "the example, and the question that it was not asked yet"


def test_without_a_training_the_evaluation_s_own_peak_counts(evaluator: Evaluator) -> None:
    (result,) = evaluations(evaluator.evaluate([request("a", 1.0, training_peak=None)]))
    assert result.peak_of == "evaluation"
    assert result.peak_bytes > 7


def test_what_is_in_the_cache_is_not_computed_again(evaluator: Evaluator, engine: TableEngine) -> None:
    (first,) = evaluations(evaluator.evaluate([request("a", 1.0)]))
    engine.passes.clear()
    (again,) = evaluations(evaluator.evaluate([request("a", 9.0)]))
    assert engine.passes == []
    assert again.outcomes == first.outcomes
    evaluator.evaluate([request("a", 1.0), request("b", 2.0)])
    assert engine.passes == [(1, 6), (1, 2), (1, 2)], "only the other adapter is evaluated"


def test_an_error_of_one_adapter_is_its_own(evaluator: Evaluator, engine: TableEngine) -> None:
    engine.broken = {2.0: RuntimeError("broken")}
    one, broken, diverged, other = evaluator.evaluate(
        [request("a", 1.0), request("b", 2.0), request("c", math.nan), request("d", 4.0)]
    )
    assert isinstance(one, Evaluation)
    assert isinstance(other, Evaluation)
    assert str(broken) == "broken"
    assert isinstance(diverged, TrialDiverged)


def test_memory_may_suffice_for_one_at_a_time(evaluator: Evaluator, engine: TableEngine) -> None:
    engine.broken = {"together": RuntimeError("out of memory")}
    assert len(evaluations(evaluator.evaluate([request("a", 1.0), request("b", 2.0)]))) == 2


class HungryEngine(TableEngine):
    """Memory suffices for one adapter at a time, and only while no tensor of an earlier pass is in memory."""

    def __init__(self, never: Sequence[float] = ()) -> None:
        super().__init__()
        self._never = never
        self._tensors: list[weakref.ref[torch.Tensor]] = []
        self.happened: list[str] = []

    def evaluate(
        self,
        adapted: Sequence[Any],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        alive = sum(tensor() is not None for tensor in self._tensors)
        self.happened.append(f"{len(adapted)} with {alive} tensors")
        logits = torch.ones(3)
        if alive or len(adapted) > 1 or adapted[0] in self._never:
            self._tensors.append(weakref.ref(logits))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().evaluate(adapted, encoded, rule, on_progress)


@pytest.mark.parametrize("engine", [HungryEngine()])
def test_the_failed_pass_s_tensors_are_gone_before_the_next_try(
    evaluator: Evaluator, engine: HungryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.evaluation.evaluator.release", lambda: engine.happened.append("release"))
    assert len(evaluations(evaluator.evaluate([request("a", 1.0), request("b", 2.0)]))) == 2
    assert engine.happened[:3] == ["2 with 0 tensors", "release", "1 with 0 tensors"]


@pytest.mark.parametrize("engine", [HungryEngine(never=[1.0])])
def test_an_error_that_is_kept_takes_no_memory_from_the_others(evaluator: Evaluator, engine: HungryEngine) -> None:
    error, other, later = evaluator.evaluate([request("a", 1.0), request("b", 2.0), request("c", 3.0, Split.CERTIFY)])
    assert isinstance(error, torch.OutOfMemoryError)
    assert isinstance(other, Evaluation)
    assert isinstance(later, Evaluation)


def test_a_device_that_failed_is_not_asked_again(evaluator: Evaluator, engine: TableEngine) -> None:
    engine.broken = {"together": RuntimeError("CUDA error: an illegal memory access was encountered")}
    with pytest.raises(RuntimeError, match="illegal memory access"):
        evaluator.evaluate([request("a", 1.0), request("b", 2.0)])
    assert engine.passes == []


def test_a_mistake_in_the_configuration_is_raised(evaluator: Evaluator, engine: TableEngine) -> None:
    engine.broken = {1.0: ConfigurationError("no such module")}
    with pytest.raises(ConfigurationError):
        evaluator.evaluate([request("a", 1.0)])


def test_the_base_s_loss_on_prose_is_computed_once(evaluator: Evaluator, engine: TableEngine) -> None:
    assert [one.nats for one in evaluator.base_prose()] == [4.0, 4.0]
    assert evaluator.base_prose() is evaluator.base_prose()
    assert engine.passes == [(1, 2)]
