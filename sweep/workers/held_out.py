"""The examples that trials are scored on."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import DataError
from sweep.records import Scoring, Split, examples_of
from sweep.training.encoding import Encoded, EncodedSplit, Encoder
from tasks import Splits


class HeldOut:
    """The examples of certify and test, read when a trial that may see them asks for them, and not before."""

    def __init__(self, splits: Splits, encoder: Encoder, longest: int, scoring: Scoring) -> None:
        self._splits = splits
        self._encoder = encoder
        self._longest = longest
        self._scoring = scoring
        self._encoded: dict[Split, Sequence[Encoded]] = {}

    def examples(self, split: Split) -> Sequence[Encoded]:
        """The split's examples that are scored, encoded.

        Raises:
            DataError: every example is too long.
        """
        if split not in self._encoded:
            raw = self._splits.certify if split is Split.CERTIFY else self._splits.test
            found = fitting(split.value, self._encoder.encode_split(raw, self._longest))
            self._encoded[split] = found.examples[: examples_of(self._scoring, split)]
        return self._encoded[split]


def fitting(name: str, split: EncodedSplit) -> EncodedSplit:
    """The split, if it holds an example that fits.

    Raises:
        DataError: every example is too long.
    """
    if not split.examples:
        raise DataError(
            f"{name}: every example is longer than task.max_length (or than the model's context); raise task.max_length"
        )
    return split
