"""Task metrics of generated text, between 0 and 1 (perfect).

| name | per example |
| --- | --- |
| `exact_match` | 1 if the normalised texts are equal |
| `accuracy` | 1 if the normalised text is the label (or the completion, without a label) |
| `macro_f1` | as `accuracy`; over a split, the mean F1 of the classes |
| `set_f1` | F1 of the sets of items separated by `;` |
| `token_f1` | F1 of the bags of words (Rajpurkar et al. 2016, SQuAD, section 6.1), articles kept |
| `rouge_l` | F-measure on the longest common subsequence of words (Lin 2004, ROUGE, section 3.1, beta = 1) |
| `json_f1` | F1 of the values in JSON, list items paired in the best way (`tasks.metrics.structured`); no JSON scores 0 |
| `chrf` | F2 of character n-grams up to six (Popovic 2015, chrF), as sacreBLEU computes it for one sentence |

Over a split, a metric is the mean of its per-example scores, except `macro_f1`.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from tasks.metrics.normalising import alike, f1, folded, normalise
from tasks.metrics.structured import json_f1
from tasks.suggest import did_you_mean

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

__all__ = [
    "LABEL_METRICS",
    "METRICS",
    "accuracy",
    "alike",
    "chrf",
    "exact_match",
    "json_f1",
    "macro_f1_shares",
    "normalise",
    "rouge_l",
    "score_all",
    "score_example",
    "set_f1",
    "token_f1",
]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"[^\W_]+")


def exact_match(predicted: str, expected: str, label: str | None = None) -> float:
    """1.0 if both texts are equal after `normalise`, else 0.0. Punctuation inside the text counts."""
    return float(normalise(predicted) == normalise(expected))


def accuracy(predicted: str, expected: str, label: str | None = None) -> float:
    """1.0 if the predicted text is the label, or the expected text without a label, else 0.0."""
    return float(normalise(predicted) == _truth(expected, label))


def set_f1(predicted: str, expected: str, label: str | None = None) -> float:
    """F1 of the sets of `;`-separated items, in any order; two empty sets score 1.0."""
    ours, wanted = _items(predicted), _items(expected)
    return f1(len(ours & wanted), len(ours), len(wanted))


def token_f1(predicted: str, expected: str, label: str | None = None) -> float:
    """F1 of the bags of words. Case and ASCII punctuation are ignored, as in SQuAD; articles count as words."""
    ours, wanted = Counter(_tokens(predicted)), Counter(_tokens(expected))
    return f1((ours & wanted).total(), ours.total(), wanted.total())


def rouge_l(predicted: str, expected: str, label: str | None = None) -> float:
    """ROUGE-L: F = 2PR / (P + R) with P = LCS / words predicted and R = LCS / words expected.

    Words are runs of letters and digits, not stemmed. Without any words the score is `exact_match`.
    """
    ours, wanted = _WORD.findall(folded(predicted)), _WORD.findall(folded(expected))
    if not ours and not wanted:
        return exact_match(predicted, expected)
    return f1(_longest_common_subsequence(ours, wanted), len(ours), len(wanted))


def chrf(predicted: str, expected: str, label: str | None = None) -> float:
    """chrF: F-score of character n-grams, n = 1 to 6, recall counting twice (beta = 2), by sacreBLEU; case and accents count.

    White space is no character. Without any characters the score is `exact_match`.
    """
    if not predicted.strip() and not expected.strip():
        return exact_match(predicted, expected)
    # sums of fractions may exceed one by a rounding error
    return min(1.0, float(_chrf().sentence_score(predicted, [expected]).score) / 100)


@cache
def _chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


_PER_EXAMPLE: dict[str, Callable[[str, str, str | None], float]] = {
    "exact_match": exact_match,
    "accuracy": accuracy,
    "macro_f1": accuracy,
    "set_f1": set_f1,
    "token_f1": token_f1,
    "rouge_l": rouge_l,
    "json_f1": json_f1,
    "chrf": chrf,
}

METRICS: tuple[str, ...] = tuple(_PER_EXAMPLE)
"""Metric names of `score_example` and `score_all`."""

LABEL_METRICS = ("accuracy", "macro_f1")
"""Metrics of classification tasks."""


def score_example(metric: str, predicted: str, expected: str, label: str | None = None) -> float:
    """Scores one generated text, in [0, 1]. For `macro_f1` this is the accuracy, because F1 has no value for one example.

    Raises:
        ValueError: `metric` is not one of `METRICS`.
    """
    if metric not in _PER_EXAMPLE:
        raise ValueError(f"unknown metric {metric!r}{did_you_mean(metric, METRICS)}; available: {', '.join(METRICS)}")
    return _PER_EXAMPLE[metric](predicted, expected, label)


def score_all(
    metric: str, predicted: Sequence[str], expected: Sequence[str], labels: Sequence[str | None] | None = None
) -> float:
    """Scores a split, in [0, 1]; independent of the order of examples.

    Args:
        metric: one of `METRICS`.
        predicted: generated texts.
        expected: completions in the same order.
        labels: class names in the same order; None if the task has none.

    Raises:
        ValueError: `metric` is unknown, the sequences differ in length, or there are no examples.
    """
    names = [None] * len(expected) if labels is None else labels
    if not len(predicted) == len(expected) == len(names):
        raise ValueError(f"{len(predicted)} predictions, {len(expected)} completions and {len(names)} labels to score")
    if not expected:
        raise ValueError(f"no examples to score {metric!r} on")
    scores = [score_example(metric, *row) for row in zip(predicted, expected, names, strict=True)]
    if metric == "macro_f1":
        truths = [_truth(text, name) for text, name in zip(expected, names, strict=True)]
        return _macro_f1([normalise(text) for text in predicted], truths)
    return math.fsum(scores) / len(scores)


def _macro_f1(predicted: Sequence[str], truths: Sequence[str]) -> float:
    """Unweighted mean of the F1 of the classes in `truths`: scikit-learn's `f1_score(average="macro", labels=...)`.

    A text that is no class name counts as a false negative of the true class, and as a false positive of none.
    """
    hits = Counter(truth for text, truth in zip(predicted, truths, strict=True) if text == truth)
    guessed, present = Counter(predicted), Counter(truths)
    return math.fsum(f1(hits[name], guessed[name], present[name]) for name in present) / len(present)


def macro_f1_shares(predicted: Sequence[str], truths: Sequence[str]) -> list[float]:
    """What each example adds to `macro_f1`: numbers whose mean is the metric, and whose spread gives its standard error.

    These are the metric plus each example's influence on it (infinitesimal jackknife, Efron 1982, ch. 6). The F1 of a class is
    2 hits / (guessed + present); one more example changes it by (2 hit - F1 (guessed + present)) / all guessed and present. The shares
    of two models can be subtracted like scores. The classes of the sample count as fixed.
    """
    answers, names = [normalise(text) for text in predicted], [normalise(text) for text in truths]
    hits = Counter(name for text, name in zip(answers, names, strict=True) if text == name)
    guessed, present = Counter(answers), Counter(names)
    scores = {name: f1(hits[name], guessed[name], present[name]) for name in present}
    metric, scale = math.fsum(scores.values()) / len(scores), len(names) / len(scores)

    def influence(name: str, hit: int, counted: int) -> float:
        return (2 * hit - scores[name] * counted) / (guessed[name] + present[name])

    return [
        metric
        + scale
        * (
            influence(name, 1, 2)
            if text == name
            else influence(name, 0, 1) + (influence(text, 0, 1) if text in scores else 0.0)
        )
        for text, name in zip(answers, names, strict=True)
    ]


def _truth(expected: str, label: str | None) -> str:
    return normalise(expected if label is None else label)


def _items(text: str) -> set[str]:
    return {item for item in map(normalise, text.split(";")) if item}


def _tokens(text: str) -> list[str]:
    # words of punctuation only are kept: "+" and "-" are different answers
    return [word.translate(_PUNCTUATION) or word for word in folded(text).split()]


def _longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    previous = [0] * (len(right) + 1)
    for word in left:
        current = [0]
        for column, other in enumerate(right):
            current.append(previous[column] + 1 if word == other else max(previous[column + 1], current[column]))
        previous = current
    return previous[-1]
