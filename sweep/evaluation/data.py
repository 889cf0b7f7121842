"""What trials are evaluated on: the examples of each split, general prose, and the rule by which answers are made."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import DataError
from sweep.records import EvaluationSettings, Split, examples_of
from sweep.records.task_data import DROP
from sweep.records.trial import MAY_STOP_BY, STOPPING_EXAMPLES, questions_of
from sweep.training.encoding import Encoded, Encoder, mean_tokens
from sweep.training.engine import EvaluationExamples
from sweep.training.losses_and_answers import AnswerRule, Label
from tasks import Example, Splits, general
from tasks.metrics import LABEL_METRICS
from tasks.nearest import nearest_answers

MOST_LABELS = 64
"""With more labels than this, comparing all of them costs more than decoding an answer."""

_EXAMPLES_PER_LABEL = 2
"""Completions that occur less often than this on average are texts rather than labels."""

_PREDICTED = 200
"""Examples of each split by which memory is predicted: several passes."""


class EvaluationData:
    """The examples that trials are evaluated on, tokenized once.

    Args:
        longest: maximum tokens of prompt and completion together.
        train: the training examples, whose completions are the labels of a classification task.
        too_long: what happens to longer examples, `task.too_long`.

    Attributes:
        prose: paragraphs of general prose, for measuring forgetting (`tasks/general`).
        question_rule: a question is answered right if its answer is the most likely of those to the questions of its kind.
        stopping: the examples that early stopping looks at, whatever number of them is evaluated.
        certify_tokens: per certify example, however many are evaluated.
        too_long: per split, the numbers (from 1) of the examples that were left out.
        shortened: per split, how many examples were shortened.
        fitting: per split, the number of the other examples.
    """

    def __init__(
        self,
        splits: Splits,
        encoder: Encoder,
        longest: int,
        settings: EvaluationSettings,
        metric: str,
        train: Sequence[Encoded],
        too_long: str = DROP,
    ) -> None:
        encoded = {
            split: encoder.encode_split(examples, longest, too_long)
            for split, examples in (
                (Split.TUNE, splits.tune),
                (Split.CERTIFY, splits.certify),
                (Split.TEST, splits.test),
            )
        }
        self.too_long = {split.value: one.too_long for split, one in encoded.items()}
        self.shortened = {split.value: len(one.shortened) for split, one in encoded.items()}
        self.fitting = {split.value: len(one.examples) for split, one in encoded.items()}
        self.certify_tokens = mean_tokens(encoded[Split.CERTIFY].examples)
        self.stopping = encoded[MAY_STOP_BY].examples[:STOPPING_EXAMPLES]
        self._examples = {split: one.examples[: examples_of(settings, split)] for split, one in encoded.items()}
        paragraphs = [encoder.prose(text) for text in general.load()[: settings.general_paragraphs]]
        self.prose = [item for item in paragraphs if len(item) <= longest]
        every = [encoder.question(example) for example in general.questions()]
        self._questions = every
        self._longest = longest
        answers = tuple(Label(item.example.completion, item.completion) for item in every)
        kinds = tuple(place % general.KINDS for place in range(len(every)))
        self.question_rule = AnswerRule(1, answers, kinds)
        self._settings = settings
        self._labels = labels_of(metric, settings.answers, train)
        self._train = [item.example for item in train]

    def examples(self, split: Split) -> Sequence[Encoded]:
        """The split's examples that are evaluated.

        Raises:
            DataError: every example is too long.
        """
        if not self._examples[split]:
            raise DataError(
                f"{split.value}: every example is longer than task.max_length (or than the model's context); raise task.max_length"
            )
        return self._examples[split]

    def questions(self, split: Split) -> Sequence[Encoded]:
        """The general questions that are asked of models evaluated on the split, for measuring forgetting."""
        asked = self._questions[: questions_of(self._settings, split)]
        return [item for item in asked if len(item) <= self._longest]

    def nearest(self, asked: Sequence[Example]) -> list[str]:
        """The answers of the nearest training examples: what can be had without a model. Empty without training examples."""
        return nearest_answers(self._train, asked) if self._train else []

    def answer_rule(self, examples: Sequence[Encoded]) -> AnswerRule | None:
        """How these examples are answered; None where no answers are asked for."""
        return answer_rule(self._settings, self._labels, examples)

    def evaluated_examples(self, splits: Sequence[Split] = tuple(Split)) -> list[EvaluationExamples]:
        """What trials of all stages are evaluated on, each with its answer rule; of each split its longest examples.

        They are for predicting memory, which the longest examples decide.
        """
        of_splits = [
            (sorted(examples, key=len)[-_PREDICTED:], self.answer_rule(examples))
            for examples in (self._examples[split] for split in splits)
            if examples
        ]
        asked = self.questions(Split.TEST)  # as many as are ever asked
        return [*of_splits, (self.prose, None), *([(asked, self.question_rule)] if asked else [])]


def answer_rule(
    settings: EvaluationSettings, labels: tuple[Label, ...], examples: Sequence[Encoded]
) -> AnswerRule | None:
    """How these examples are answered under `evaluate.answers`; None where no answers are asked for."""
    if settings.answers == "none":
        return None
    longest = settings.max_new_tokens or max(len(item.completion) for item in examples)
    return AnswerRule(longest, labels)


def labels_of(metric: str, answers: str, train: Sequence[Encoded]) -> tuple[Label, ...]:
    """The labels among which the likeliest is the answer; empty where answers are decoded.

    Args:
        answers: the setting `evaluate.answers`.
    """
    if answers not in ("auto", "likelihood"):
        return ()
    by_ids = {item.completion: Label(item.example.completion.strip(), item.completion) for item in train}
    labels = tuple(by_ids[ids] for ids in sorted(by_ids))
    few = 2 <= len(labels) <= min(MOST_LABELS, len(train) // _EXAMPLES_PER_LABEL)
    return labels if answers == "likelihood" or (metric in LABEL_METRICS and few) else ()
