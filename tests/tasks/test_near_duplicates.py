"""Near-duplicates: exactly the pairs that comparing every text with every other finds."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.near_duplicates import BOILERPLATE, FEWEST_ALIKE, THRESHOLD, grams, near_duplicates, significant

WORDS = st.sampled_from(
    ["the", "cat", "sat", "on", "a", "mat", "and", "it", "was", "Fine,", "fine.", "7", "x_y", "Ünïcode"]
)
TEXTS = st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=40)


def brute(texts: list[str], threshold: float) -> list[tuple[int, int, float]]:
    """The definition, pair by pair."""
    sets = [grams(text) for text in texts]
    counts = Counter(gram for row in sets for gram in row)
    most = max(BOILERPLATE * len(texts), FEWEST_ALIKE)
    left = [{gram for gram in row if counts[gram] <= most} or set(row) for row in sets]
    found = []
    for (first, a), (second, b) in combinations(enumerate(left), 2):
        if a | b and (similarity := len(a & b) / len(a | b)) >= threshold:
            found.append((first, second, similarity))
    return found


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.75, 1.0]))
def test_every_pair_is_found_and_no_other(texts: list[str], threshold: float) -> None:
    assert near_duplicates(texts, threshold=threshold) == brute(texts, threshold)


def test_words_and_grams() -> None:
    assert grams("The cat, the DOG!") == {"the cat the", "cat the dog"}
    assert grams("Don't") == {"don t"}
    assert grams("One") == {"one"}
    assert grams(" -- ... ") == frozenset()


def test_case_and_punctuation_make_no_difference() -> None:
    assert near_duplicates(["Is it open on Sunday?", "is it open: on sunday"]) == [(0, 1, 1.0)]
    assert near_duplicates(["...", "?!"]) == []
    assert near_duplicates([]) == []


def test_the_threshold_is_included() -> None:
    # 12 and 5 words, of whose 3-grams 7 of 10 are shared
    first = " ".join(f"w{number}" for number in range(12))
    second = " ".join(f"w{number}" for number in range(9))
    assert near_duplicates([first, second]) == [(0, 1, THRESHOLD)]
    assert near_duplicates([first, second], threshold=0.71) == []


def test_what_many_texts_have_is_left_out() -> None:
    texts = [f"please answer the question in one short sentence {number}" for number in range(300)]
    assert near_duplicates(texts) == []
    assert near_duplicates(texts[:FEWEST_ALIKE])  # of a few texts, nothing is boilerplate
    assert significant([grams("a b c")] * 300) == [grams("a b c")] * 300  # where nothing else would remain


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_a_threshold_is_a_similarity(threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        near_duplicates(["a"], threshold=threshold)
