"""The examples that trials are scored on."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import DataError
from sweep.records import Scoring, Split, examples_of
from sweep.training.encoding import Encoded, Encoder
from tasks import Splits


class HeldOut:
    """The examples of certify and test: tokenized to see which fit, and handed out only to a trial that may see them.

    Attributes:
        too_long: for each of the two splits, numbers (from 1) of the examples that are left out.
        fitting: for each, how many are left.
    """

    def __init__(self, splits: Splits, encoder: Encoder, longest: int, scoring: Scoring) -> None:
        encoded = {
            split: encoder.encode_split(examples, longest)
            for split, examples in ((Split.CERTIFY, splits.certify), (Split.TEST, splits.test))
        }
        self.too_long = {split.value: one.too_long for split, one in encoded.items()}
        self.fitting = {split.value: len(one.examples) for split, one in encoded.items()}
        self._examples = {split: one.examples[: examples_of(scoring, split)] for split, one in encoded.items()}

    def examples(self, split: Split) -> Sequence[Encoded]:
        """The split's examples that are scored, encoded.

        Raises:
            DataError: every example is too long.
        """
        if not self._examples[split]:
            raise DataError(
                f"{split.value}: every example is longer than task.max_length (or than the model's context); raise task.max_length"
            )
        return self._examples[split]
