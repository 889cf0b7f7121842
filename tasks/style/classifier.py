"""Tells the styles of the house apart, from one another, from plain statements and from mere words.

Logistic regression on TF-IDF of characters and words, trained on the train split in the process that asks. Nothing is stored.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from tasks import jsonl
from tasks.example import Example
from tasks.style import originals

PLAIN, WORDS = "plain", "words"
"""What is no style: a statement as it was asked, and words of a style in no order."""

STYLES = ("prose", "verse", "copy")
CLASSES = (*STYLES, PLAIN, WORDS)
DATA = Path(__file__).with_name("data")

_SEED = 7
_LOOP = 4


def labelled(rows: Sequence[Example]) -> list[tuple[str, str]]:
    """Texts and their classes: each completion, its prompt, its statements as running text, and of every other row mere words."""
    rng = random.Random(_SEED)
    plain = {fact.styled: fact.plain for kind in STYLES for original in originals.read(kind) for fact in original.facts}
    texts: list[tuple[str, str]] = []
    for number, row in enumerate(rows):
        texts += [(row.completion, str(row.kind)), (row.prompt, PLAIN), (_running(row, plain, number), PLAIN)]
    texts += [(_mere_words(row.completion, number, rng), WORDS) for number, row in enumerate(rows[::2])]
    return texts


def _running(row: Example, plain: Mapping[str, str], number: int) -> str:
    """The statements of a row without the cue, one after another, or joined into one sentence."""
    parts = [plain[styled] for styled in plain if styled in row.completion]
    if number % 2:
        return " ".join(parts)
    joined = (", ", ", and ", " and ")[number // 2 % 3].join(part.removesuffix(".") for part in parts)
    return f"{joined}."


def _mere_words(text: str, number: int, rng: random.Random) -> str:
    """The words of a text, shuffled; for one in four a few of them, repeated."""
    words = text.split(" ")
    if number % 4:
        rng.shuffle(words)
    else:
        start = rng.randrange(len(words))
        words = [words[(start + place % _LOOP) % len(words)] for place in range(len(words))]
    return " ".join(words)


@cache
def probabilities_of() -> Callable[[Sequence[str]], list[dict[str, float]]]:
    """A function from texts to the probability of each class; fitted on train once per process, in about a second."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    letters = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=3)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    model = make_pipeline(make_union(letters, words), LogisticRegression(C=50, tol=1e-3, max_iter=300))
    texts, classes = zip(*labelled(jsonl.load(DATA).train), strict=True)
    model.fit([_marked(text) for text in texts], classes)
    names = [str(name) for name in model.classes_]

    def probabilities(asked: Sequence[str]) -> list[dict[str, float]]:
        rows = model.predict_proba([_marked(text) for text in asked])
        return [dict(zip(names, map(float, row), strict=True)) for row in rows]

    return probabilities


def error_table(rows: Sequence[Example]) -> str:
    """The classifier's errors on texts it was not trained on, as a table of the data card: for each class, what it was taken for."""
    texts = labelled(rows)
    found = [max(each, key=lambda name: each[name]) for each in probabilities_of()([text for text, _ in texts])]
    taken = Counter(zip((name for _, name in texts), found, strict=True))
    lines = [f"| is, taken for | {' | '.join(CLASSES)} | error |", f"| --- |{' --- |' * (len(CLASSES) + 1)}"]
    for name in CLASSES:
        counts = [taken[name, other] for other in CLASSES]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} | {1 - taken[name, name] / sum(counts):.1%} |")
    wrong = sum(count for (name, other), count in taken.items() if name != other)
    return "\n".join([*lines, f"| all |{' |' * len(CLASSES)} {wrong / len(texts):.1%} |"])


def _marked(text: str) -> str:
    """The text with a mark for each end of a line, which is what verse is known by."""
    return re.sub(r"\s*\n\s*", " / ", text.strip())
