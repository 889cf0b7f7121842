"""The answer without a model: that of the most similar training example. What training is for is what it gains over this."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.example import Example
from tasks.scoring import score_answers

_BLOCK = 256


def nearest_answers(train: Sequence[Example], asked: Sequence[Example]) -> list[str]:
    """The completions of the nearest training examples (1-NN).

    Similarity is the cosine of TF-IDF vectors of lower-case words of what the model is given, as scikit-learn's `TfidfVectorizer` makes
    them by default, fitted on `train`. Of equally near examples the first counts.

    Args:
        train: the training split; not empty.
        asked: the examples to answer.

    Returns:
        an answer to each of `asked`, in order.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer()
    known = words.fit_transform([row.asked for row in train])
    answers: list[str] = []
    for start in range(0, len(asked), _BLOCK):
        block = words.transform([row.asked for row in asked[start : start + _BLOCK]])
        similarity = (block @ known.T).toarray()
        answers += [train[int(row.argmax())].completion for row in similarity]
    return answers


def nearest_scores(metric: str, train: Sequence[Example], asked: Sequence[Example]) -> dict[str, float]:
    """The metric of the nearest neighbours' answers, for all of `asked` ("all") and for each kind, from 0 to 1."""
    answers = nearest_answers(train, asked)
    scores = {"all": score_answers(metric, answers, asked)}
    for kind in sorted({row.kind for row in asked if row.kind is not None}):
        of_kind = [(answer, row) for answer, row in zip(answers, asked, strict=True) if row.kind == kind]
        scores[kind] = score_answers(metric, [answer for answer, _ in of_kind], [row for _, row in of_kind])
    return scores


def nearest_table(metric: str, train: Sequence[Example], asked: Sequence[Example]) -> str:
    """The scores as a table of a data card."""
    scores = nearest_scores(metric, train, asked)
    return "\n".join(
        [f"| {metric} | nearest neighbour |", "| --- | --- |", *(f"| {k} | {v:.3f} |" for k, v in scores.items())]
    )
