"""Losses of two models on the same examples, from the outcomes that trials left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sweep.records import ExampleOutcome
from sweep.verdict.promotion import PairedLosses
from tasks import Example
from tasks.splits import side_of

Outcomes = Mapping[str, ExampleOutcome]
"""By `Example.key`."""


def paired(first: Outcomes, second: Outcomes, examples: Sequence[Example]) -> PairedLosses:
    """The losses of two models on those of the examples that both were evaluated on."""
    both = [each for each in examples if each.key in first and each.key in second]
    return PairedLosses.of(
        [first[each.key].nats for each in both],
        [second[each.key].nats for each in both],
        [first[each.key].tokens for each in both],
        [side_of(each) for each in both],
    )


def mean_loss(outcomes: Outcomes, examples: Sequence[Example]) -> float:
    """In nats per token; NaN where none of the examples was evaluated."""
    own = [outcomes[each.key] for each in examples if each.key in outcomes]
    tokens = sum(each.tokens for each in own)
    return sum(each.nats for each in own) / tokens if tokens else math.nan
