"""Dividing validation into tune and certify, the identity of data, and near duplicates."""

import dataclasses
import hashlib
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import DataProblems, Example, RawSplits
from tasks.splits import divide, loose_repeats, place

VALIDATION = tuple(Example(f"Question {number}?", f"answer {number}") for number in range(40))
RAW = RawSplits((Example("Train?", "yes"),), VALIDATION, (Example("Test?", "no", "n", "short"),), ("heard before",))

examples = st.builds(Example, st.text(max_size=5), st.text(max_size=5))


@given(st.text(st.characters()), st.sampled_from(["tune", "validation", "test"]))
@settings(max_examples=50, deadline=None)
def test_places_are_those_of_earlier_versions(text: str, salt: str) -> None:
    digest = hashlib.sha256(json.dumps([salt, text]).encode()).digest()
    assert place(text, salt=salt) == (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def test_sides_are_disjoint_cover_validation_and_keep_its_order() -> None:
    splits = divide(RAW)
    assert set(splits.tune).isdisjoint(splits.certify)
    assert sorted((*splits.tune, *splits.certify), key=VALIDATION.index) == list(VALIDATION)
    for side in (splits.tune, splits.certify):
        assert list(side) == sorted(side, key=VALIDATION.index)
    assert (splits.train, splits.test, splits.warnings) == (RAW.train, RAW.test, RAW.warnings)


def test_a_row_stays_on_its_side_when_others_come_and_go() -> None:
    whole = divide(RAW)
    fewer = divide(dataclasses.replace(RAW, validation=VALIDATION[::-1][::2]))
    assert set(fewer.tune) <= set(whole.tune)
    assert set(fewer.certify) <= set(whole.certify)


def test_rows_with_one_prompt_stay_together() -> None:
    doubled = VALIDATION + tuple(dataclasses.replace(example, completion="other") for example in VALIDATION)
    splits = divide(dataclasses.replace(RAW, validation=doubled))
    assert {row.prompt for row in splits.tune}.isdisjoint(row.prompt for row in splits.certify)


def test_a_larger_fraction_only_adds_to_tune() -> None:
    assert set(divide(RAW, 0.3).tune) < set(divide(RAW, 0.6).tune)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_the_fraction_must_leave_both_sides_something(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        divide(RAW, fraction)


def test_a_one_sided_division_is_a_problem() -> None:
    same = tuple(Example("Same?", str(number)) for number in range(9))
    with pytest.raises(DataProblems, match=r"9 rows \(1 different prompts\) are on the other side"):
        divide(dataclasses.replace(RAW, validation=same))


def test_the_data_hash_follows_every_change_of_content() -> None:
    first, *others = VALIDATION
    changed = [
        RAW,
        dataclasses.replace(RAW, train=()),
        dataclasses.replace(RAW, train=RAW.test, test=RAW.train),
        dataclasses.replace(RAW, validation=VALIDATION[::-1]),
        dataclasses.replace(RAW, validation=(dataclasses.replace(first, label="a"), *others)),
        dataclasses.replace(RAW, validation=(dataclasses.replace(first, kind="a"), *others)),
        dataclasses.replace(RAW, validation=(dataclasses.replace(first, completion="a"), *others)),
    ]
    hashes = {divide(raw).data_hash for raw in changed} | {divide(RAW, 0.4).data_hash}
    assert len(hashes) == len(changed) + 1
    assert divide(dataclasses.replace(RAW, warnings=())).data_hash == divide(RAW).data_hash


@settings(deadline=None)
@given(st.text(), st.text())
def test_places_are_stable_and_in_range(text: str, salt: str) -> None:
    assert 0 <= place(text, salt=salt) < 1
    assert place(text, salt=salt) == place(text, salt=salt)


def test_places_are_even_and_salts_unrelated() -> None:
    texts = [str(number) for number in range(2000)]
    low = [text for text in texts if place(text, salt="validation") < 0.2]
    assert len(low) == pytest.approx(400, abs=60)
    assert sum(place(text, salt="tune") < 0.5 for text in low) == pytest.approx(len(low) / 2, abs=40)


@settings(deadline=None)
@given(examples, examples)
def test_keys_tell_contents_apart(left: Example, right: Example) -> None:
    assert (left.key == right.key) == ((left.prompt, left.completion) == (right.prompt, right.completion))


def test_keys_do_not_depend_on_where_prompt_and_completion_meet() -> None:
    assert Example("ab", "c").key != Example("a", "bc").key
    assert len(Example("a", "b").key) == 64


def test_near_duplicates_leave_exact_ones_out() -> None:
    known = [Example("Is it raining?", "yes"), Example("-5", "a"), Example("...", "a")]
    fresh = [
        Example("is it  raining", "no"),
        Example("“Is it raining”", "no"),
        Example("Is it raining?", "no"),
        Example("5", "b"),
        Example("?!", "b"),
    ]
    assert loose_repeats(known, fresh) == 2


def test_near_duplicates_between_splits_are_a_counted_warning() -> None:
    splits = divide(dataclasses.replace(RAW, test=(Example("TRAIN", "yes"),)))
    assert splits.warnings[1].startswith("test: 1 of 1 prompts differ from one in train only in case")


def test_problems_read_well_and_survive_a_process_border() -> None:
    problems = DataProblems(["a.jsonl:1: wrong", "b.jsonl:2: wrong"])
    assert str(problems) == "2 problems with the data:\n  - a.jsonl:1: wrong\n  - b.jsonl:2: wrong"
    assert str(DataProblems(["a.jsonl:1: wrong"])) == "a.jsonl:1: wrong"
    assert pickle.loads(pickle.dumps(problems)).problems == problems.problems  # noqa: S301 - pickled one line above
