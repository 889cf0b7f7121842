"""`json_f1` against worked examples, its definition by brute force, and hostile texts."""

import json
import math
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import score_example
from tasks.metrics.structured import DEEPEST, json_f1

STEADY = settings(deadline=None, max_examples=40)

plain = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2, width=16) | st.sampled_from(["a", "b", "c d"])
documents = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("predicted", "expected", "score"),
    [
        ('{"a": 1, "b": "x"}', '{"b": "X.", "a": 1.0}', 1.0),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 1 / 2),
        ('{"a": 1}', '{"a": 1, "b": 2, "c": 3}', 2 / 4),
        ('{"A": 1}', '{"a": 1}', 0.0),
        ('{"a": "1"}', '{"a": 1}', 0.0),
        ('{"a": true}', '{"a": 1}', 0.0),
        ('{"a": null}', '{"a": null}', 1.0),
        # the order of items does not matter, and a quantity stays with its item
        ('[{"i": "tea", "n": 2}, {"i": "bun", "n": 1}]', '[{"i": "bun", "n": 1}, {"i": "tea", "n": 2}]', 1.0),
        ('[{"i": "tea", "n": 2}, {"i": "bun", "n": 1}]', '[{"i": "bun", "n": 2}, {"i": "tea", "n": 1}]', 1 / 2),
        # the best pairing leaves the first item the lesser partner: 1 + 3 leaves, not 2 + 1
        ('[{"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}]', '[{"a": 1, "b": 1, "c": 1}, {"b": 1}]', 2 * 4 / 9),
        ("[1, 1, 2]", "[1, 2, 2]", 2 / 3),
        ('{"a": [], "b": {}}', '{"b": {}, "a": []}', 1.0),
        ('{"a": []}', '{"a": {}}', 0.0),
        ('{"a": []}', '{"a": ["x"]}', 0.0),
        # what stands around the JSON
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1.0),
        ('Your order: {"a": 1} Anything else?', '{"a": 1}', 1.0),
        ('{"a": 1} {"a": 2}', '{"a": 1}', 1.0),
        ('{"a": 1', '{"a": 1}', 0.0),
        ("a: 1", '{"a": 1}', 0.0),
        ("", '{"a": 1}', 0.0),
        ("5 pieces", "5", 0.0),
        (" 5.0 ", "5", 1.0),
        # an expected text that is no JSON
        ("Sold out.", "sold out", 1.0),
        ('{"a": 1}', "sold out", 0.0),
        # not JSON by RFC 8259
        ('{"a": NaN}', '{"a": NaN, "b": 1}', 0.0),
    ],
)
def test_worked_examples(predicted: str, expected: str, score: float) -> None:
    assert json_f1(predicted, expected) == pytest.approx(score)
    assert json_f1(expected, predicted) == pytest.approx(score)
    assert score_example("json_f1", predicted, expected) == pytest.approx(score)


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 100_000,
        "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2),
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "9" * 5_000,
        '{"a": 1e999999, "b": -1e400}',
        '{"a": ' + "9" * 400 + "}",
        '"\\ud800"',
        "\x00{",
        "]}{[",
        '{"a": 1, "a": 2}',
    ],
)
def test_hostile_texts_are_scored(hostile: str) -> None:
    assert json_f1(hostile, hostile) == 1.0
    assert json_f1(hostile, '{"order": 0.5}') == 0.0
    assert json_f1('{"order": 0.5}', hostile) == 0.0


def test_levels_up_to_the_limit_are_read() -> None:
    assert json_f1("[" * DEEPEST + "1" + "]" * DEEPEST, " [" * DEEPEST + "1.0" + "]" * DEEPEST) == 1.0
    assert json_f1("[" * (DEEPEST + 1) + "1" + "]" * (DEEPEST + 1), " [" * (DEEPEST + 1) + "1" + "]" * DEEPEST) == 0.0


@STEADY
@given(documents, documents)
def test_scores_lie_between_zero_and_one_and_agree_with_the_definition(one: Any, other: Any) -> None:
    score = json_f1(json.dumps(one), json.dumps(other))
    assert 0.0 <= score <= 1.0
    assert score == json_f1(json.dumps(other), json.dumps(one))
    assert score == pytest.approx(2 * best(one, other) / (size(one) + size(other)))


@STEADY
@given(documents, st.randoms(use_true_random=False))
def test_a_document_in_another_order_is_the_same(document: Any, rng: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return rng.sample([shuffled(item) for item in value], len(value))
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in rng.sample(list(value), len(value))}
        return value

    assert json_f1(json.dumps(shuffled(document), indent=1), json.dumps(document)) == 1.0


@STEADY
@given(
    st.dictionaries(st.sampled_from("abc"), documents, min_size=1),
    st.dictionaries(st.sampled_from("xyz"), documents, min_size=1),
)
def test_documents_without_a_common_key_score_nothing(one: Any, other: Any) -> None:
    assert json_f1(json.dumps(one), json.dumps(other)) == 0.0


def best(one: Any, other: Any) -> int:
    """The shared leaves, with every pairing of list items tried."""
    if isinstance(one, dict) and isinstance(other, dict) and (one or other):
        return sum(best(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list) and (one or other):
        short, long = sorted((one, other), key=len)
        ways = permutations(range(len(long)), len(short))
        return max(sum(best(item, long[place]) for item, place in zip(short, way, strict=True)) for way in ways)
    return int((type(one) is type(other) and one == other) or (is_number(one) and is_number(other) and one == other))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def size(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return sum(map(size, inner)) if inner else 1
