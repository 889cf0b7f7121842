"""Dividing validation into tune and certify, the identity of data, and near duplicates."""

import dataclasses
import hashlib
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import DataProblems, Example, RawSplits
from tasks.example import LeftOut
from tasks.formats import ROWS
from tasks.readings import Flaw
from tasks.splits import divide, loose_repeats, place, side_of
from tasks.understanding import Columns, examples_of_row, understood

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


Chat = tuple[str, list[tuple[str, str]]]
"""A system message or none, and pairs of what is said and answered."""


def rows_of(chat: Chat) -> list[dict[str, object]]:
    """The chat as a row of every format that can hold it."""
    system, pairs = chat
    beside = {"system": system} if system else {}
    said = [({"role": "user", "content": user}, {"role": "assistant", "content": answer}) for user, answer in pairs]
    messages = [{"role": "system", "content": system}] if system else []
    messages += [message for pair in said for message in pair]
    turns = [{"from": each["role"], "value": each["content"]} for each in messages]
    *earlier, (prompt, answer) = pairs
    rows: list[dict[str, object]] = [
        {"messages": messages},
        {"conversations": turns},
        {"prompt": messages[:-1], "completion": messages[-1:]},
        {
            "instruction": prompt,
            "output": answer,
            **beside,
            **({"history": [list(pair) for pair in earlier]} if earlier else {}),
        },
    ]
    if not earlier:
        rows.append({"prompt": prompt, "completion": answer, **({"system_prompt": system} if system else {})})
        rows += [] if system else [{"text": prompt, "label": answer}]
    return rows


def examples_of_chats(chats: list[tuple[Chat, int]]) -> list[Example]:
    """The examples of each chat in one of its formats."""
    made: list[Example] = []
    for chat, number in chats:
        row = rows_of(chat)[number % len(rows_of(chat))]
        examples = examples_of_row(row, understood("rows", [row], list(row), Columns()), Columns())
        assert not isinstance(examples, Flaw), examples
        made += examples
    return made


def test_chats_are_made_in_every_format_of_rows() -> None:
    every = [row for chat in (("", [("a", "b")]), ("s", [("a", "b")])) for row in rows_of(chat)]
    assert {understood("", [row], list(row), Columns()).format.title for row in every} == {each.title for each in ROWS}


long = st.sampled_from([f"Tell me about order number {number}" for number in range(12)])
short = st.sampled_from(["hi", "hello", "order 1", "order 2", "yes"])
more_than_a_greeting = long | st.sampled_from(["order 1", "order 2", "yes", "hi, order 1"])
answered = st.tuples(long | short, st.sampled_from(["well", "no"]))
chats = st.tuples(
    st.tuples(st.sampled_from(["", "Be brief."]), st.lists(answered, min_size=1, max_size=3)), st.integers(0, 9)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(chats, min_size=20, max_size=60), st.lists(chats, max_size=20), st.sets(st.integers(0, 20)), st.data())
def test_nothing_that_is_judged_was_seen_before(
    validation: list[tuple[Chat, int]], train: list[tuple[Chat, int]], grouped: set[int], data: st.DataObject
) -> None:
    rows = [
        dataclasses.replace(row, group=data.draw(st.sampled_from("ab"))) if number in grouped else row
        for number, row in enumerate(examples_of_chats(validation))
    ]
    trained = examples_of_chats(train)
    try:
        splits = divide(RawSplits(tuple(trained), tuple(rows), tuple(rows)))
    except DataProblems:
        return
    asked = {name: {row.asked for row in getattr(splits, name)} for name in ("train", "tune", "certify", "test")}
    assert asked["certify"].isdisjoint(asked["train"] | asked["tune"])
    assert asked["test"].isdisjoint(asked["train"])
    for name, had in (("certify", len(rows) - len(splits.tune)), ("test", len(rows))):
        left, of = splits.left_out.get(name, LeftOut(0, had))
        assert (len(getattr(splits, name)) + left, of) == (had, had)
    by_opening = [row for row in rows if row.group is None]
    assert all(row in splits.tune for row in by_opening if place(side_of(row), salt="tune") < 0.5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.tuples(
                st.just("") | st.just("s"), st.lists(st.tuples(more_than_a_greeting, short), min_size=1, max_size=3)
            ),
            st.integers(0, 9),
        )
    )
)
def test_what_is_asked_alone_or_in_a_longer_chat_has_one_side(made: list[tuple[Chat, int]]) -> None:
    sides: dict[str, str] = {}
    for row in examples_of_chats(made):
        assert sides.setdefault(row.asked, side_of(row)) == side_of(row)


def test_chats_with_and_without_a_second_turn_are_on_one_side() -> None:
    chats = [[(f"Order {number}?", "On its way.")] for number in range(300)]
    made = [(("", [*chat, *more]), 0) for chat in chats for more in ([], [("And when?", "Today.")])]
    splits = divide(RawSplits((Example("a", "b"),), tuple(examples_of_chats(made)), (Example("c", "d"),)))
    assert {row.asked for row in splits.tune}.isdisjoint(row.asked for row in splits.certify)
    assert splits.left_out == {}
    assert len(splits.tune) + len(splits.certify) == 900


class TestLeftOut:
    def test_rows_whose_prompt_is_in_train_are_not_judged(self) -> None:
        whole = divide(RAW)
        train = tuple(dataclasses.replace(row, completion="other") for row in VALIDATION[:10])
        tests = (*RAW.test, *train[:3])
        splits = divide(dataclasses.replace(RAW, train=train, test=tests))
        assert splits.tune == whole.tune
        assert splits.certify == tuple(row for row in whole.certify if row not in VALIDATION[:10])
        assert splits.test == RAW.test
        gone = len(whole.certify) - len(splits.certify)
        assert splits.left_out == {"certify": (gone, len(whole.certify)), "test": (3, 4)}
        assert (
            f"certify: {gone} of {len(whole.certify)} rows are left out of judging, because their prompt is in train or tune, too; "
            f"that leaves {len(splits.certify)}"
        ) in splits.warnings
        # the same rows train, search and judge
        assert splits.data_hash == divide(dataclasses.replace(RAW, train=train)).data_hash

    def test_a_prompt_with_other_earlier_messages_is_another(self) -> None:
        train = tuple(dataclasses.replace(row, history=(("user", "hi"), ("assistant", "hi"))) for row in VALIDATION)
        assert divide(dataclasses.replace(RAW, train=train)).left_out == {}

    def test_groups_do_not_bring_a_prompt_to_both_sides(self) -> None:
        twice = tuple(dataclasses.replace(row, group=f"{group} {row.prompt}") for row in VALIDATION for group in "ab")
        splits = divide(dataclasses.replace(RAW, validation=twice))
        assert {row.asked for row in splits.tune}.isdisjoint(row.asked for row in splits.certify)
        assert splits.left_out["certify"].rows + len(splits.certify) + len(splits.tune) == len(twice)

    def test_too_few_that_are_left_are_a_problem(self) -> None:
        whole = divide(RAW)
        kept = whole.certify[:3]
        train = tuple(row for row in VALIDATION if row not in kept)
        with pytest.raises(DataProblems) as caught:
            divide(dataclasses.replace(RAW, train=train, test=VALIDATION[:2]))
        on_certify, on_test = caught.value.problems
        assert "that leaves 3, and at least 5 are needed: 2 missing. Add validation rows" in on_certify
        assert "test: 2 of 2 rows are left out" in on_test
        assert "that leaves 0, and at least 1 is needed: 1 missing. Add test rows" in on_test


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
