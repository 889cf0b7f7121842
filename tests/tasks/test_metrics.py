"""The task metrics against worked examples, their definitions and scikit-learn."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics import METRICS, macro_f1_shares, normalise, score_all, score_example

# Time limits an example would fail tests on a busy machine.
STEADY = settings(deadline=None)

words = st.text(alphabet=st.sampled_from("abcAB;.,-+ é\u0301ßÅ1"), max_size=30) | st.text(max_size=20)
symmetric = st.sampled_from(["exact_match", "set_f1", "token_f1", "rouge_l"])


@pytest.mark.parametrize(
    ("metric", "predicted", "expected", "label", "score"),
    [
        ("exact_match", " Restaurant  Reviews.\n", "restaurant reviews", None, 1.0),
        ("exact_match", "-5", "5", None, 0.0),
        ("exact_match", "yes", "yes, it is", None, 0.0),
        ("accuracy", "Positive", "the review is positive", "positive", 1.0),
        ("accuracy", "the review is positive", "the review is positive", "positive", 0.0),
        ("accuracy", "recipe.", "recipe", None, 1.0),
        ("macro_f1", "recipe", "recipe", "recipe", 1.0),
        ("set_f1", "nausea; Rash", "rash;nausea;", None, 1.0),
        ("set_f1", "nausea; nausea", "nausea; rash", None, 2 / 3),
        ("set_f1", "none", "nausea", None, 0.0),
        ("set_f1", " ; ", "", None, 1.0),
        ("set_f1", "", "nausea", None, 0.0),
        ("token_f1", "The cat sat", "the cat", None, 4 / 5),
        ("token_f1", "cat cat cat", "cat", None, 1 / 2),
        ("token_f1", "cat, sat!", "CAT sat", None, 1.0),
        ("token_f1", "+", "-", None, 0.0),
        # Lin 2004, section 3.1: S1 "police killed the gunman", S2 and S3 as below
        ("rouge_l", "police kill the gunman", "police killed the gunman", None, 3 / 4),
        ("rouge_l", "the gunman kill police", "police killed the gunman", None, 1 / 2),
        ("rouge_l", "Well-known", "well known", None, 1.0),
        ("rouge_l", "!", "?", None, 0.0),
        ("rouge_l", "", "word", None, 0.0),
        # Popovic 2015, equation 1: orders 1 to 3 exist; precisions 2/3, 1/2, 0, recalls the same
        ("chrf", "abc", "abd", None, (2 / 3 + 1 / 2 + 0) / 3),
        # precision 1; recalls 2/4, 1/3 of the orders that both have: F2 = 5PR / (4P + R)
        ("chrf", "ab", "abcd", None, 5 * (5 / 12) / (4 + 5 / 12)),
        ("chrf", "a b", "ab", None, 1.0),
        ("chrf", "AB", "ab", None, 0.0),
        ("chrf", " ", "word", None, 0.0),
        ("chrf", " ", "", None, 1.0),
    ],
)
def test_worked_examples(metric: str, predicted: str, expected: str, label: str | None, score: float) -> None:
    assert score_example(metric, predicted, expected, label) == pytest.approx(score)


@STEADY
@given(words)
def test_a_perfect_answer_scores_one(text: str) -> None:
    for metric in METRICS:
        assert score_example(metric, text, text, None) == 1.0
        assert score_all(metric, [text], [text], [None]) == 1.0


@STEADY
@given(words, words, words | st.none())
def test_scores_lie_between_zero_and_one(predicted: str, expected: str, label: str | None) -> None:
    for metric in METRICS:
        assert 0.0 <= score_example(metric, predicted, expected, label) <= 1.0


@STEADY
@given(symmetric, words, words)
def test_texts_can_change_places(metric: str, left: str, right: str) -> None:
    assert score_example(metric, left, right, None) == score_example(metric, right, left, None)


@STEADY
@given(words)
def test_normalising_twice_changes_only_further_trailing_periods(text: str) -> None:
    assert normalise(normalise(text)).rstrip(". ") == normalise(text).rstrip(". ")


rows = st.lists(st.tuples(words, words, words | st.none()), min_size=1, max_size=8)


@STEADY
@given(st.data(), rows)
def test_order_does_not_matter(data: st.DataObject, examples: list[tuple[str, str, str | None]]) -> None:
    shuffled = data.draw(st.permutations(examples))
    for metric in METRICS:
        assert score_all(metric, *map(list, zip(*shuffled, strict=True))) == score_all(
            metric, *map(list, zip(*examples, strict=True))
        )


@STEADY
@given(rows)
def test_a_split_scores_the_mean_of_its_examples(examples: list[tuple[str, str, str | None]]) -> None:
    for metric in set(METRICS) - {"macro_f1"}:
        mean = math.fsum(score_example(metric, *row) for row in examples) / len(examples)
        assert score_all(metric, *map(list, zip(*examples, strict=True))) == mean


def test_macro_f1_by_hand() -> None:
    # a: one hit, one false alarm; b: one hit, one miss (said "a"); c: one miss, said something that is no class
    score = score_all("macro_f1", ["a", "a", "b", "no idea"], ["A.", "b", "b", "c"], [None] * 4)
    assert score == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


@STEADY
@given(st.lists(st.tuples(st.sampled_from("abcdx"), st.sampled_from("abcd")), min_size=1, max_size=20))
def test_macro_f1_agrees_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predicted, truths = [list(column) for column in zip(*pairs, strict=True)]
    theirs = metrics.f1_score(truths, predicted, average="macro", labels=sorted(set(truths)), zero_division=0)
    assert score_all("macro_f1", predicted, ["text"] * len(truths), truths) == pytest.approx(theirs)


@STEADY
@given(st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_chrf_of_a_sentence_is_sacrebleus(pairs: list[tuple[str, str]]) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    for predicted, expected in pairs:
        if predicted.strip() or expected.strip():
            theirs = sacrebleu.sentence_chrf(predicted, [expected]).score
            assert score_example("chrf", predicted, expected, None) == pytest.approx(min(theirs, 100) / 100)


def test_labels_may_be_left_out() -> None:
    assert score_all("accuracy", ["a", "b"], ["a", "c"]) == 0.5


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r'"rouge_l"\?\); available: exact_match, accuracy'):
        score_example("rougel", "a", "a", None)


@pytest.mark.parametrize(("predicted", "expected"), [(["a"], ["a", "b"]), ([], [])])
def test_nothing_to_score_is_an_error(predicted: list[str], expected: list[str]) -> None:
    with pytest.raises(ValueError, match="to score"):
        score_all("accuracy", predicted, expected, [None] * len(expected))


def test_shares_of_macro_f1_have_it_as_their_mean_and_its_influences_as_spread() -> None:
    truths, answers = list("aaaabbbcc"), list("aabbbbcca")
    shares = macro_f1_shares(answers, truths)
    whole = score_all("macro_f1", answers, truths)
    assert sum(shares) / len(shares) == pytest.approx(whole)
    # against one example that counts a little more, in many copies of the rest
    for place in (0, 2, 8):
        more = [*answers * 400, answers[place]], [*truths * 400, truths[place]]
        influence = (score_all("macro_f1", *more) - whole) * len(more[0])
        assert shares[place] - whole == pytest.approx(influence, abs=2e-3)
