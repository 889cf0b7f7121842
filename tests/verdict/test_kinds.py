"""Kinds of examples on which an adapter is of little use: each rule where it holds, and not where it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.records import Split, Stage, Status, StudyRecord, TrialRecord, TrialResult, TrialSpec
from sweep.verdict.conclude import conclude
from sweep.verdict.kinds import KindScore, joined_with_test, weak_kinds
from sweep.verdict.verdict_json import verdict_json
from tests.conftest import TRAINING, arm, certified_record, measures
from tests.verdict.studies import with_kinds

COUNTS = {"brand": 12, "dosage": 20, "indication": 16, "normalise": 40, "strength": 12}
SCORES = {
    0: {"brand": 0.0, "dosage": 0.1, "indication": 0.02, "normalise": 0.0, "strength": 0.3},
    **{
        rank: {"brand": 0.0, "dosage": 0.8, "indication": 0.06, "normalise": 0.9, "strength": 0.6}
        for rank in (2, 4, 8, 16, 32)
    },
}


def kind(chosen: float, base: float | None = 0.0, examples: int | None = 30, name: str = "one") -> KindScore:
    return KindScore(name, examples, base, chosen, None)


def overall(chosen: float = 0.6, base: float | None = 0.02, examples: int = 100) -> KindScore:
    return KindScore("", examples, base, chosen, None)


@pytest.mark.parametrize(
    ("found", "weak"),
    [
        (kind(0.0), True),
        (kind(0.06, base=0.02, examples=16), True),
        (kind(0.3, base=0.3), True),
        (kind(0.12, examples=60), True),
        (kind(0.5), False),
        (kind(0.28, base=0.0, examples=60), False),
        (kind(0.95, base=0.95), False),
        (kind(0.67, base=0.33, examples=6), False),
        (kind(0.0, examples=4), False),
        (kind(0.0, base=None), True),
        (kind(0.0, examples=None), True),
    ],
    ids=[
        "nothing right",
        "within noise of the base",
        "as before training",
        "shown to be below half of the rest",
        "nearly as good as the rest",
        "above the base, and not shown to be below half",
        "the base does it already",
        "few examples, large gain",
        "too few examples",
        "base unknown",
        "count unknown",
    ],
)
def test_kind_is_weak_if_it_gains_little(found: KindScore, weak: bool) -> None:
    assert [score.kind for score in weak_kinds([overall(), found])] == (["one"] if weak else [])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 300)), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_weak_kinds_are_below_the_rest_and_sorted(
    kinds: list[tuple[float, float, int]], chosen: float, base: float
) -> None:
    scores = [overall(chosen, base), *(kind(*found, name=str(number)) for number, found in enumerate(kinds))]
    weak = weak_kinds(scores)
    assert [found.chosen for found in weak] == sorted(found.chosen for found in weak)
    assert all(found.chosen < chosen for found in weak)
    if chosen <= base:
        assert weak == ()


def test_a_single_kind_is_no_kind() -> None:
    assert weak_kinds([]) == weak_kinds([overall()]) == ()


def conclusion_of(record: StudyRecord) -> tuple[str, str]:
    """The headline, and the finding on weak kinds."""
    found = conclude(record)
    assert found is not None
    return found.headline, next((finding.text for finding in found.findings if finding.kind == "weak_kinds"), "")


def test_certified_rank_that_is_of_little_use_on_two_kinds_says_so() -> None:
    headline, text = conclusion_of(with_kinds(certified_record(), SCORES, COUNTS))
    assert "Rank 8 is enough." in headline
    assert "It is of little use on 2 of 5 kinds of examples." in headline
    assert text == (
        "Rank 8 is of little use on 2 of 5 kinds of examples: brand 0.00 (12 examples, base model 0.00, rank 32 0.00), "
        "indication 0.06 (16 examples, base model 0.02, rank 32 0.06). Rank 32 is no better on these: more training examples "
        "of them may help, a larger rank does not. Over all examples, rank 8 scores 0.89."
    )


def test_older_records_name_kinds_without_counts() -> None:
    _, text = conclusion_of(with_kinds(certified_record(), SCORES, {}))
    assert "brand 0.00 (base model 0.00, rank 32 0.00)" in text


def test_larger_rank_that_does_better_is_named_with_its_score() -> None:
    better = {**SCORES, 32: {**SCORES[32], "brand": 0.8}}
    _, text = conclusion_of(with_kinds(certified_record(), better, COUNTS))
    assert "rank 32 0.80" in text
    assert "no better on these" not in text


def test_undecided_study_names_the_rank_it_hands_out() -> None:
    record = with_kinds(certified_record(seed_noise=0.02), SCORES, COUNTS)
    found = conclude(record)
    assert found is not None
    assert found.rank is None
    assert [kind.kind for kind in found.weak_kinds] == ["brand", "indication"]


def test_without_kinds_there_is_nothing_to_say() -> None:
    found = conclude(certified_record())
    assert found is not None
    assert found.weak_kinds == ()
    assert len(found.kinds) == 1


def test_verdict_json_holds_every_kind_with_its_count() -> None:
    record = with_kinds(certified_record(final=(8, 32)), SCORES, COUNTS)
    found = verdict_json(record, conclude(record), "2026-01-31T12:00:00+00:00")
    assert json.loads(json.dumps(found["weak_kinds"])) == [
        {"kind": "brand", "examples": 24, "base": 0.0, "chosen": 0.0, "largest": 0.0},
        {"kind": "indication", "examples": 32, "base": 0.02, "chosen": 0.06, "largest": 0.06},
    ]
    assert [kind["kind"] for kind in found["kinds"]] == sorted(COUNTS)
    assert {kind["kind"]: kind["examples"] for kind in found["kinds_on_test"]} == COUNTS


def test_mean_is_over_the_seeds_of_the_rank() -> None:
    record = with_kinds(certified_record(), SCORES, COUNTS)
    assert record.certification is not None
    first, *others = record.certification.trials
    assert first.measures is not None
    measures = replace(first.measures, metrics={**first.measures.metrics, "accuracy/brand": 0.3})
    changed = replace(first, result=replace(first.result, measures=measures))
    found = conclude(replace(record, certification=replace(record.certification, trials=(changed, *others))))
    assert found is not None
    assert found.weak_kinds[0].chosen == 0.0  # the changed trial is of rank 2


def trial_on_test(rank: int, scores: dict[str, float], examples: dict[str, int]) -> TrialRecord:
    metrics = {"accuracy": 0.5, **{f"accuracy/{kind}": score for kind, score in scores.items()}}
    made = replace(measures(0.5, rank), metrics=metrics, kinds=examples, examples=sum(examples.values()))
    recipe = arm(rank) if rank else None
    spec = TrialSpec("0123", "made", Stage.FINAL if rank else Stage.BASE, recipe, TRAINING, 0, split=Split.TEST)
    return TrialRecord(1, TrialResult(spec, Status.COMPLETE, measures=made))


def test_examples_of_certify_and_test_count_together() -> None:
    on_certify = (overall(0.5, base=0.0, examples=40), kind(0.0, examples=4, name="bid"), kind(0.9, name="normalise"))
    assert weak_kinds(on_certify) == ()
    counts = {"bid": 5, "normalise": 30, "late": 6}
    base = trial_on_test(0, {"bid": 0.0, "normalise": 0.0, "late": 0.0}, counts)
    rank_8 = trial_on_test(8, {"bid": 0.09, "normalise": 0.9, "late": 0.0}, counts)
    certification = certified_record({8: 0.3}).certification
    assert certification is not None
    tested = replace(certification, final=(base, rank_8))
    joined = joined_with_test(on_certify, "accuracy", tested, 8)
    bid = next(score for score in joined if score.kind == "bid")
    assert (bid.examples, bid.base) == (9, 0.0)
    assert bid.chosen == pytest.approx(0.05)
    assert [score.kind for score in weak_kinds(joined)] == ["late", "bid"]
    assert joined_with_test(on_certify, "accuracy", certification, 8) == on_certify
