"""What fine-tuning costs elsewhere: the loss on general prose, before and after."""

from __future__ import annotations

from sweep.evaluation.scores import mean_loss
from sweep.training.encoding import Encoder
from sweep.training.engine import Adapted
from tasks import general


class GeneralProse:
    """The first paragraphs of `tasks/general`, tokenized once."""

    def __init__(self, encoder: Encoder, paragraphs: int, longest: int) -> None:
        encoded = [encoder.prose(text) for text in general.load()[:paragraphs]]
        self._paragraphs = [item for item in encoded if len(item) <= longest]

    def loss(self, adapted: Adapted) -> float | None:
        """Nats a token on the prose; None if there is none."""
        return mean_loss(adapted.losses(self._paragraphs)) if self._paragraphs else None
