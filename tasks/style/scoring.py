"""The metric of the house style: is an answer in the style that was asked for, and does it say what it was told?"""

from __future__ import annotations

import re
from functools import lru_cache

from tasks.example import Example
from tasks.metrics import normalise
from tasks.style.classifier import probabilities_of

LONGEST = 1.5
"""An answer of more than so many times the words of the original loses in proportion."""

_BEGINNING = 4
_FUNCTION_WORDS = frozenset(
    word
    for words in (
        "a an the this that these those some each every no all both one other such own",
        "and but or as if than so then because since while until after before when where there here",
        "about again against at away back by down for from in into like near of off on once only out over round to too under",
        "until up upon with without",
        "i me my we us our you your he him his she her it its itself they them their who whom whose which what how",
        "am is are was were be been being do does did done has have had can could may might must shall should will would",
        "come comes came get gets go goes went gone make made more most not now also just very stand stands take takes",
    )
    for word in words.split()
)


def styled(answer: str, example: Example) -> float:
    """How well an answer says in the house's style what it was told, from 0 to 1. The original scores 1.

    The probability that the classifier gives to the style that was asked for, times `kept`, times a penalty for length.
    """
    if normalise(answer) == normalise(example.completion):
        return 1.0
    words, wanted = len(answer.split()), len(example.completion.split())
    if not words:
        return 0.0
    length = min(1.0, LONGEST * wanted / words)
    return _style(answer, str(example.kind)) * kept(answer, example) * length


def kept(answer: str, example: Example) -> float:
    """The share of the content's key words that an answer keeps, from 0 to 1.

    Key words are those of the prompt that the original keeps, too, so that no cue and nothing that may be said otherwise is one.
    """
    keys = key_words(example)
    return len(keys & _beginnings(answer)) / len(keys) if keys else 1.0


def key_words(example: Example) -> frozenset[str]:
    """The beginnings of the key words of an example's content."""
    return _beginnings(example.prompt) & _beginnings(example.completion)


@lru_cache(maxsize=4096)
def _style(answer: str, kind: str) -> float:
    return probabilities_of()([answer])[0].get(kind, 0.0)


def _beginnings(text: str) -> frozenset[str]:
    """The first letters of each word, since "returned" keeps "returns"; function words are left out."""
    words = re.findall(r"\d+|[^\W\d_]{2,}", text.lower())
    return frozenset(word[:_BEGINNING] for word in words if word not in _FUNCTION_WORDS)
