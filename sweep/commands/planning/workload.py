"""The tokens that a study's trials train on and are evaluated on, from its data and the base's tokenizer alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sweep.commands.planning.work import Rows, rows_of
from sweep.records import Split, StudyPlan, examples_of
from sweep.records.task_data import DROP
from sweep.records.trial import questions_of
from sweep.training.encoding import Encoded, Encoder
from sweep.training.weightless import tokenizer_in
from tasks import Example, Splits, general
from tasks.metrics import LABEL_METRICS

SAMPLE = 512
"""Training examples whose tokens are counted: enough for a mean, however large the data."""
CERTIFY_SAMPLE = 200
"""Of the certify split, where a study chooses the number of examples itself."""

_CHARACTERS_PER_TOKEN = 3.6
_TEMPLATE_TOKENS = 24
"""Of English text, and of a chat template: for a base whose tokenizer is not on this machine."""


class Encodes(Protocol):
    """What turns an example into tokens."""

    def encode(self, example: Example) -> Encoded:
        """The example's tokens."""
        ...


class CharacterEncoder:
    """Guesses the number of tokens from that of characters."""

    def encode(self, example: Example) -> Encoded:
        """Token ids that stand for nothing; the template's are shared by all prompts."""
        text = "".join([*(text for _, text in example.history), example.prompt])
        own = max(1, round(len(text) / _CHARACTERS_PER_TOKEN))
        answer = 2 + round(len(example.completion) / _CHARACTERS_PER_TOKEN)
        first = _TEMPLATE_TOKENS + len(text)
        return Encoded(example, (*range(_TEMPLATE_TOKENS), *range(first, first + own)), tuple(range(answer)))


@dataclass(frozen=True, slots=True)
class Workload:
    """The tokens of a study's trials.

    Attributes:
        training: of one whole training.
        evaluated: of each split, as many examples as are evaluated; of certify a sample where the study chooses their number.
        prose: paragraphs of general prose.
        questions: general questions of every trial, and of test, by split.
        labels: tokens of all labels, where the likeliest one is the answer; else 0.
        question_labels: of the answers that a general question's is compared with.
        longest: tokens of the longest training example.
        counted: whether the base's own tokenizer counted them.
    """

    training: Rows
    evaluated: Mapping[Split, Rows]
    prose: Rows
    questions: Mapping[Split, Rows]
    labels: int
    question_labels: int
    longest: int
    counted: bool


def workload_of(
    plan: StudyPlan, splits: Splits, encoder: Encodes, *, counted: bool, with_labels: bool = True
) -> Workload:
    """Counts the tokens of a plan with steps, of a sample where there are many.

    Args:
        with_labels: whether to count labels, which loads torch where the likeliest one is the answer.

    Raises:
        ConfigurationError: the model's chat template fails.
    """
    setup, training = plan.setup, plan.training
    packed, longest = setup.engine == "packed", setup.task.max_length
    sample = random.Random(0).sample(splits.train, min(SAMPLE, len(splits.train)))  # noqa: S311 (no secret)
    shortens = setup.task.too_long != DROP
    train = _fitting(encoder, sample, longest, len(sample), shortens=shortens)
    rows = training.steps * training.batch_size * training.gradient_accumulation
    own = round(rows * (1 - training.replay)) if splits.replay else rows
    passages = [_cut(_prose(encoder, text), longest) for text in splits.replay[:SAMPLE]] if own < rows else []
    replayed = rows_of(passages, training.batch_size, packed=packed)
    evaluated = {}
    for split in Split:
        examples = getattr(splits, split.value)
        most = examples_of(setup.scoring, split) or CERTIFY_SAMPLE
        evaluated[split] = rows_of(_fitting(encoder, examples, longest, most, shortens=shortens), None, packed=packed)
    asked = [_question(encoder, example) for example in general.questions()]
    paragraphs = [_prose(encoder, text) for text in general.load()[: setup.scoring.general_paragraphs]]
    answers = sum(len(item.completion) for item in asked) / max(1, len(asked))
    return Workload(
        training=rows_of(train, training.batch_size, packed=packed).first(own).plus(replayed.first(rows - own)),
        evaluated=evaluated,
        prose=rows_of(paragraphs, None, packed=packed),
        questions={split: rows_of(asked[: questions_of(setup.scoring, split)], None, packed=packed) for split in Split},
        labels=_labels(plan, train) if with_labels else 0,
        question_labels=round(answers * len(asked) / general.KINDS),
        longest=max(map(len, train), default=1),
        counted=counted,
    )


def encoder_for(plan: StudyPlan, folder: Path | None) -> tuple[Encodes, bool]:
    """The base's own encoder if its tokenizer is in the folder, and whether it is."""
    if folder is None:
        return CharacterEncoder(), False
    return Encoder(tokenizer_in(folder), plan.setup.task.system_prompt), True


def _question(encoder: Encodes, example: Example) -> Encoded:
    return encoder.question(example) if isinstance(encoder, Encoder) else encoder.encode(example)


def _prose(encoder: Encodes, text: str) -> Encoded:
    return encoder.prose(text) if isinstance(encoder, Encoder) else encoder.encode(Example(prompt="", completion=text))


def _cut(passage: Encoded, longest: int) -> Encoded:
    """General text that is mixed into training, as long as it may be."""
    return replace(passage, completion=passage.completion[: max(1, longest - len(passage.prompt))])


def _fitting(
    encoder: Encodes, examples: Sequence[Example], longest: int, most: int, *, shortens: bool
) -> list[Encoded]:
    """The first examples that fit, at most `most`; longer ones count as shortened where they are."""
    fitting: list[Encoded] = []
    for example in examples:
        if len(fitting) >= most:
            break
        item = encoder.encode(example)
        if len(item) <= longest:
            fitting.append(item)
        elif shortens and len(item.completion) < longest:
            fitting.append(replace(item, prompt=item.prompt[: longest - len(item.completion)]))
    return fitting


def _labels(plan: StudyPlan, train: Sequence[Encoded]) -> int:
    """Tokens of the distinct completions where the likeliest of them is the answer (`sweep.evaluation.data.labels_of`), else 0."""
    scoring, metric = plan.setup.scoring, plan.setup.task.metric
    if scoring.answers != "likelihood" and (scoring.answers != "auto" or metric not in LABEL_METRICS):
        return 0
    from sweep.evaluation.data import labels_of

    labels = labels_of(metric, scoring.answers, train)
    return sum(len(label.ids) for label in labels)
