"""Outcomes by adapter and example: what was added is known, what cannot be read is missing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import ExampleOutcome
from sweep.store.outcomes import OutcomeCache, rule_key
from sweep.store.paths import Paths

ONE = ExampleOutcome(1.5, 3, "red")
EXAMPLES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        ExampleOutcome,
        st.floats(0, 1e6),
        st.integers(1, 99),
        st.sampled_from([None, "red", "", "a\n\u2028b", "größer"]),
    ),
    max_size=4,
)


@given(first=EXAMPLES, second=EXAMPLES)
def test_what_was_added_is_known(
    first: dict[str, ExampleOutcome], second: dict[str, ExampleOutcome], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = OutcomeCache(Paths(tmp_path_factory.mktemp("scores")))
    store.add("a" * 32, "losses", first)
    store.add("a" * 32, "losses", second)
    assert store.known("a" * 32, "losses") == {**first, **second}
    assert store.known("b" * 32, "losses") == {}
    assert store.known("a" * 32, "decoded-8") == {}


def test_a_loss_that_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    store = OutcomeCache(Paths(tmp_path))
    store.add("a" * 32, "losses", {"k": ExampleOutcome(math.nan, 1, None), "l": ONE})
    assert store.known("a" * 32, "losses") == {"l": ONE}


def test_lines_that_cannot_be_read_are_missing(tmp_path: Path) -> None:
    store = OutcomeCache(Paths(tmp_path))
    store.add("a" * 32, "losses", {"k": ONE, "l": ONE})
    file = tmp_path / "scores" / "aa" / ("a" * 32) / "losses.jsonl"
    file.write_text(file.read_text()[:-5] + "\n[]\nnull\n")
    assert store.known("a" * 32, "losses") == {"k": ONE}


def test_rules_have_keys_of_their_own() -> None:
    keys = [
        rule_key(None),
        rule_key(8),
        rule_key(9),
        rule_key(8, {"a": (1, 2)}),
        rule_key(8, {"a": (1, 3)}),
        rule_key(8, {"a": (1, 2), "b": (4,)}),
    ]
    assert len(set(keys)) == len(keys)
    assert rule_key(8, {"a": (1,), "b": (2,)}) == rule_key(8, {"b": (2,), "a": (1,)})
