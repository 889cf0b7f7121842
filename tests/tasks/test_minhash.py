"""Near-duplicates among many texts: those of the exact search, whatever the batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import minhash, registry
from tasks.gram_hashes import MOST_GRAMS, hashed_grams
from tasks.minhash import NearDuplicateSearch, Similar, Sketch
from tasks.near_duplicates import grams, near_duplicates
from tasks.splits import divide


def between(texts: Sequence[str], parts: Sequence[int], batch: int = 64) -> dict[tuple[int, int], Similar]:
    with NearDuplicateSearch() as search:
        for start in range(0, len(texts), batch):
            search.add(texts[start : start + batch])
        assert search.count == len(texts)
        return search.between(np.array(parts), np.array([hash(text) for text in texts]))


def exactly(texts: Sequence[str], parts: Sequence[int]) -> dict[tuple[int, int], set[int]]:
    """The texts of the later part in each pair of near-duplicates that are not the same text."""
    found: dict[tuple[int, int], set[int]] = {}
    for pair in near_duplicates(texts):
        first, second = sorted(pair[:2], key=lambda place: parts[place])
        if parts[first] != parts[second] and texts[first] != texts[second]:
            found.setdefault((parts[first], parts[second]), set()).add(second)
    return found


def made(count: int, seed: int = 0) -> list[str]:
    """Texts of a few templates, some of them nearly the same."""
    chance = random.Random(seed)
    templates = [[f"t{number}w{place}" for place in range(40)] for number in range(60)]
    texts = []
    for _ in range(count):
        words = list(chance.choice(templates))
        for place in (5, 15, 25):
            words[place] = f"slot{chance.randrange(40)}"
        texts.append(" ".join(words))
    return texts


def test_the_same_as_the_exact_search() -> None:
    texts = made(500)
    parts = [place % 4 for place in range(500)]
    found = between(texts, parts)
    expected = exactly(texts, parts)
    assert sum(map(len, expected.values())) > 50
    for pair, similar in found.items():
        assert similar.complete
        assert set(similar.places.tolist()) == expected.get(pair, set())
        for text, partner, similarity in zip(similar.places, similar.partners, similar.similarity, strict=True):
            assert (parts[partner], parts[text]) == pair
            assert similarity >= minhash.THRESHOLD - 1e-6


def test_batches_make_no_difference() -> None:
    texts, parts = made(300), [place % 2 for place in range(300)]
    for one, other in zip(between(texts, parts, 7).values(), between(texts, parts, 300).values(), strict=True):
        assert one.places.tolist() == other.places.tolist()
        assert one.partners.tolist() == other.partners.tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=12))
def test_hashes_are_those_of_the_grams(texts: list[str]) -> None:
    hashes, sizes = hashed_grams(texts)
    assert sizes.tolist() == [len(grams(text)) for text in texts]
    starts = np.cumsum([0, *sizes.tolist()])
    of: dict[frozenset[str], list[int]] = {}
    for place, text in enumerate(texts):
        own = hashes[starts[place] : starts[place + 1]].tolist()
        assert own == sorted(set(own))
        assert of.setdefault(grams(text), own) == own  # equal grams, equal hashes


def test_different_grams_have_different_hashes() -> None:
    texts = [f"{first} {second} {third}" for first in "abcdef" for second in "abcdef" for third in "abcdef"]
    hashes, _ = hashed_grams([*texts, "a b", "b a", "a"])
    assert len(set(hashes.tolist())) == len(texts) + 3


def test_long_texts_are_compared_by_a_sample_of_their_grams() -> None:
    words = [f"w{number}" for number in range(1000)]
    changed = [*words[:930], *(f"v{number}" for number in range(70))]
    half = [*words[:550], *(f"u{number}" for number in range(450))]
    _, sizes = hashed_grams([" ".join(words)])
    assert sizes.tolist() == [MOST_GRAMS]
    (similar,) = between([" ".join(words), " ".join(changed), " ".join(half)], [0, 1, 1]).values()
    assert similar.places.tolist() == [1]  # similarities 0.87 and 0.38
    assert similar.similarity[0] == pytest.approx(0.87, abs=0.12)


def test_sketches_compare_what_both_know() -> None:
    whole, cut = Sketch(frozenset(range(100))), Sketch(frozenset(range(50)), 49)
    assert whole.similarity(cut) == 1.0
    assert cut.similarity(Sketch(frozenset(range(25, 75)))) == 0.5
    assert Sketch(frozenset()).similarity(whole) == 0.0


def test_limits_of_work_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "_MOST_VERIFICATIONS", 5)
    texts, parts = made(300), [place % 2 for place in range(300)]
    (similar,) = between(texts, parts).values()
    assert not similar.complete
    assert set(similar.places.tolist()) <= exactly(texts, parts)[0, 1]


def test_nothing_to_compare() -> None:
    assert between([], []) == {}
    assert between(["a b c d"] * 3, [0, 0, 0]) == {}
    (similar,) = between(["", "a b c d", "..."], [0, 1, 1]).values()
    assert similar.places.tolist() == []


def test_it_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    between(made(50), [0, 1] * 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_many_texts_have_the_near_duplicates_of_the_exact_search(seed: int) -> None:
    texts, parts = made(3000, seed), [place % 4 for place in range(3000)]
    expected = exactly(texts, parts)
    found = {(pair, text) for pair, similar in between(texts, parts).items() for text in similar.places.tolist()}
    wanted = {(pair, text) for pair, several in expected.items() for text in several}
    assert found <= wanted
    assert len(found) >= 0.995 * len(wanted)


@pytest.mark.slow
def test_a_real_task_has_the_near_duplicates_of_the_exact_search() -> None:
    splits = divide(registry.load("pharma"))
    sides = (splits.train, splits.tune, splits.certify, splits.test)
    texts = [example.asked for side in sides for example in side]
    parts = [number for number, side in enumerate(sides) for _ in side]
    expected = exactly(texts, parts)
    for pair, similar in between(texts, parts, 2048).items():
        assert similar.complete
        assert set(similar.places.tolist()) == expected.get(pair, set())
