"""The answer without a model: that of the most similar training example. What training is for is what it gains over this."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.example import Example
from tasks.scoring import scores_by_kind

_BLOCK = 256
_MOST = 20_000


def nearest_answers(train: Sequence[Example], asked: Sequence[Example]) -> list[str]:
    """The completions of the nearest training examples (1-NN).

    Similarity is the cosine of TF-IDF vectors of lower-case words of what the model is given, as scikit-learn's `TfidfVectorizer` makes
    them by default, fitted on `train`. Of equally near examples the first counts, as it
    does if there are no words.

    Args:
        train: the training split; not empty.
        asked: the examples to answer.

    Returns:
        an answer to each of `asked`, in order.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train = train[:: -(-len(train) // _MOST)]
    words = TfidfVectorizer()
    try:
        known = words.fit_transform([row.asked for row in train])
    except ValueError:  # no words
        return [train[0].completion] * len(asked)
    answers: list[str] = []
    for start in range(0, len(asked), _BLOCK):
        block = words.transform([row.asked for row in asked[start : start + _BLOCK]])
        similarity = (block @ known.T).toarray()
        answers += [train[int(row.argmax())].completion for row in similarity]
    return answers


def nearest_table(metric: str, train: Sequence[Example], asked: Sequence[Example]) -> str:
    """The scores of the nearest neighbours' answers, in all and for each kind, as a table of a data card."""
    scores = scores_by_kind(metric, nearest_answers(train, asked), asked)
    rows = (f"| {kind or 'all'} | {score:.3f} |" for kind, score in scores.items())
    return "\n".join([f"| {metric} | nearest neighbour |", "| --- | --- |", *rows])
