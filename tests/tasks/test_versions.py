"""Two versions of a data set are compared by the hashes of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.example import Example, Splits
from tasks.versions import PARTS, DataVersion, PartChange, change_between, old_and_new

Rows = Mapping[str, Sequence[tuple[str, str]]]


def version(**rows: Sequence[tuple[str, str]]) -> DataVersion:
    parts = {part: tuple(Example(*pair) for pair in rows.get(part, ())) for part in PARTS}
    return DataVersion.of(Splits(**parts, warnings=(), data_hash="ab", train_hash="cd"))


def test_each_kind_of_change_is_counted_once() -> None:
    before = version(
        train=[("a", "1"), ("b", "2"), ("c", "3"), ("moves", "5")],
        certify=[("x", "1"), ("y", "2")],
    )
    after = version(
        train=[("b", "2"), ("a", "other"), ("d", "4"), ("e", "5")],
        certify=[("x", "1"), ("y", "2"), ("moves", "5")],
    )
    change = change_between(before, after)
    assert change.parts["train"] == PartChange(kept=1, added=2, removed=1, relabelled=1, moved_out=1)
    assert change.parts["certify"] == PartChange(kept=2, moved_in=1)
    assert change.words() == "train: 2 added, 1 removed, 1 relabelled, 1 moved away; certify: 1 moved here"


def test_order_is_no_change_and_repeats_are_counted() -> None:
    before = version(train=[("a", "1"), ("b", "2")])
    assert not change_between(before, version(train=[("b", "2"), ("a", "1")])).is_change
    twice = change_between(before, version(train=[("a", "1"), ("b", "2"), ("b", "2")]))
    assert twice.parts["train"] == PartChange(kept=2, added=1)
    assert change_between(before, before).words() == "no row changed"


def test_another_label_or_kind_is_a_relabelled_row() -> None:
    def of(example: Example) -> DataVersion:
        return DataVersion.of(Splits((example,), (), (), (), warnings=(), data_hash="", train_hash=""))

    before = of(Example("a", "1", label="yes"))
    for other in (Example("a", "1", label="no"), Example("a", "1", label="yes", kind="k"), Example("a", "2", "yes")):
        assert change_between(before, of(other)).parts["train"] == PartChange(relabelled=1)


prompts = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12")), max_size=8)


@given(st.dictionaries(st.sampled_from(PARTS), prompts), st.dictionaries(st.sampled_from(PARTS), prompts))
@settings(max_examples=60, deadline=None)
def test_every_row_of_both_versions_is_counted(first: Rows, second: Rows) -> None:
    before, after = version(**first), version(**second)
    change = change_between(before, after)
    for part, counts in change.parts.items():
        assert counts.kept + counts.added + counts.relabelled + counts.moved_in == len(after.rows[part])
        assert counts.kept + counts.removed + counts.relabelled + counts.moved_out == len(before.rows[part])
    back = change_between(after, before)
    for part in PARTS:
        assert back.parts[part].added == change.parts[part].removed
        assert back.parts[part].relabelled == change.parts[part].relabelled
    moved = [sum(getattr(counts, name) for counts in change.parts.values()) for name in ("moved_in", "moved_out")]
    assert (moved[0] > 0) == (moved[1] > 0)


def test_what_is_kept_holds_no_text_and_reads_back() -> None:
    before = version(train=[("a secret prompt", "a secret answer")], test=[("t", "u")])
    text = json.dumps(before.to_json())
    assert "secret" not in text
    assert DataVersion.from_json(json.loads(text)) == before
    with pytest.raises((KeyError, TypeError, ValueError)):
        DataVersion.from_json({"data_hash": "x", "rows": {"train": [["a"]]}})


def test_old_and_new_examples_have_prompts_that_no_model_was_trained_on() -> None:
    before = version(train=[("t", "1"), ("was trained on", "1")], tune=[("u", "1")], certify=[("a", "1"), ("b", "1")])
    after = version(
        train=[("t", "1"), ("b", "1")],
        certify=[("a", "1"), ("b", "1"), ("c", "1"), ("a2", "1"), ("was trained on", "2"), ("u", "1")],
    )
    divided = old_and_new(before, after, "certify")
    assert divided.old == (0,)
    assert divided.new == (2, 3)
    assert divided.left_out == (1, 4, 5)
    relabelled = old_and_new(before, version(certify=[("a", "other")]), "certify")
    assert relabelled.new == (0,)
    with pytest.raises(ValueError, match="train"):
        old_and_new(before, after, "train")
