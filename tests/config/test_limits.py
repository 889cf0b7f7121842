"""Every number has a smallest and a largest value, and a value outside is reported with both."""

from __future__ import annotations

import pytest

from sweep.commands.app import composed_plan
from sweep.config.keys import known_keys, limits
from sweep.errors import ConfigurationError

NUMBERS = (int, float, tuple[int, ...], tuple[float, ...], int | None, float | None)
KEYS = {key: kind for key, kind in known_keys().items() if kind in NUMBERS} | {"certify.ladder": tuple[int, ...]}
"""With the ladder, which holds ranks or arms."""
LIMITS = limits()
BY_PATTERN = ("lora.rank_pattern", "lora.alpha_pattern")
"""Mappings whose values are numbers."""
WHOLE = [key for key, kind in KEYS.items() if "int" in str(kind)]
FRACTIONS = [key for key in KEYS if key not in WHOLE]


def problems(*words: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        composed_plan(["method=lora_plus", *words])
    return list(caught.value.problems)


def problems_of(keys: list[str], value: str) -> dict[str, str]:
    """The problems of each key, all with this value."""
    listed = {key: f"[{value}]" if "tuple" in str(KEYS[key]) else value for key in keys}
    reported = problems(*(f"{key}={text}" for key, text in listed.items()))
    return {
        key: "\n".join(problem for problem in reported if problem.startswith((f"{key}=", f"{key}:"))) for key in keys
    }


def test_every_number_has_limits() -> None:
    assert set(LIMITS) == {*KEYS, "engine.slots", *BY_PATTERN}


@pytest.mark.parametrize("value", ["-1", "9" * 25, "1" + "0" * 400])
def test_whole_numbers_outside_their_limits(value: str) -> None:
    for key, problem in problems_of(WHOLE, value).items():
        assert f"must be {LIMITS[key]}" in problem, key


@pytest.mark.parametrize("value", ["-1", "1e39", "nan", "inf", "-inf", "1e999"])
def test_fractions_outside_their_limits(value: str) -> None:
    for key, problem in problems_of(FRACTIONS, value).items():
        assert f"must be {LIMITS[key]}" in problem, key


@pytest.mark.parametrize("key", ["lora.r", "search.space.rank", "seed", "lora.dropout"])
def test_the_limit_itself_is_allowed_and_no_more(key: str) -> None:
    high = LIMITS[key].high
    value, beyond = (f"[{high}]", f"[{high + 1}]") if "tuple" in str(KEYS[key]) else (high, high + 1)
    composed_plan([f"{key}={value}"])
    assert f"must be {LIMITS[key]}" in problems(f"{key}={beyond}")[0]


@pytest.mark.parametrize("value", ["true", "null", "{}", "abc", "''", "[1]", "[[1]]", "{a: 1}", "${x}", "9" * 5000])
def test_a_value_that_is_not_a_number_is_reported_with_its_key(value: str) -> None:
    optional = [key for key, kind in KEYS.items() if "None" in str(kind)] if value == "null" else []
    keys = [key for key in KEYS if key not in optional]
    reported = problems(*(f"{key}={value}" for key in keys))
    for key in keys:
        if value != "[1]" or "tuple" not in str(KEYS[key]):
            assert any(problem.startswith((f"{key}=", f"{key}:")) for problem in reported), key
    assert all(problem.startswith(tuple(KEYS)) for problem in reported)


@pytest.mark.parametrize("key", BY_PATTERN)
@pytest.mark.parametrize("value", ["0", "-1", "9" * 25, "abc"])
def test_numbers_by_pattern_have_limits_too(key: str, value: str) -> None:
    (problem,) = problems(f"{key}={{down_proj: {value}}}")
    assert problem.startswith((f"{key}=", f"{key}:")), problem
    assert value == "abc" or f"{LIMITS[key]}" in problem


def test_limits_in_messages() -> None:
    assert problems("lora.r=0") == ["lora.r=0: must be from 1 to 4096"]
    assert problems("certify.margin=0") == ["certify.margin=0.0: must be above zero and at most 1"]
    assert problems("evaluate.max_new_tokens=0") == ["evaluate.max_new_tokens=0: must be from 1 to 1000000, or null"]
    assert problems("engine.slots=99999") == ["engine.slots=99999: must be from 1 to 1024, or auto"]


@pytest.mark.parametrize("key", ["budget.wall_clock", "budget.memory"])
@pytest.mark.parametrize(
    "value", ["9" * 400, "99999999999999999999d", "99999999999999999999TB", "-1", "nan", "[]", "{}"]
)
def test_budgets_are_limited_too(key: str, value: str) -> None:
    assert problems(f"{key}={value}")[0].startswith(f"{key}: ")
