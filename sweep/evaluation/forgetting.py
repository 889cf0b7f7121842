"""What fine-tuning costs elsewhere: the loss on general prose, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import TrialFailed
from sweep.evaluation.scores import loss_or_failure
from sweep.training.encoding import Encoder
from sweep.training.engine import Adapted, Engine
from tasks import general


class GeneralProse:
    """The first paragraphs of `tasks/general`, tokenized once.

    Attributes:
        paragraphs: those that are not too long.
    """

    def __init__(self, encoder: Encoder, paragraphs: int, longest: int) -> None:
        encoded = [encoder.prose(text) for text in general.load()[:paragraphs]]
        self.paragraphs = [item for item in encoded if len(item) <= longest]

    def losses(self, engine: Engine, adapted: Sequence[Adapted]) -> list[float | TrialFailed | None]:
        """Nats a token on the prose under each adapter; None if there is no prose, `TrialFailed` if it is not a number."""
        if not self.paragraphs:
            return [None] * len(adapted)
        return [loss_or_failure(scores.losses) for scores in engine.score(adapted, self.paragraphs, None)]
