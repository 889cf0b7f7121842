"""The smallest and the largest value of every number of the configuration, said once.

The upper limits lie far beyond what anybody needs. They turn a slip of the keyboard into a sentence, before memory or hours are
spent on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from sweep.config.schema import SweepKeys

MOST_VALUES = 64
"""So many values a list of the search space, or the ladder, may have."""

MOST_SEEDS = 1000

_WORDS = {"0": "zero", "1": "one"}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a number may be: from `low` to `high`, both included unless `above`.

    Attributes:
        above: the number must be above `low`.
        null: the key may also be null.
    """

    low: float
    high: float
    above: bool = False
    null: bool = False

    def allows(self, value: float) -> bool:
        """Whether the number is within the limits; what is not a number is not."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        """As it follows after `must be`."""
        low, high = (str(int(end)) if end == int(end) and end < 1e15 else f"{end:g}" for end in (self.low, self.high))
        text = f"above {_WORDS.get(low, low)} and at most {high}" if self.above else f"from {low} to {high}"
        return text + (", or null" if self.null else "")


_RANK = Limit(1, 4096)
_ALPHA_RATIO = Limit(0, 1000, above=True)
# as far as 32 bits reach: at which rate a training diverges is for the training to find
_RATE = Limit(0, 3e38, above=True)
_EXAMPLES = Limit(1, 10_000_000)

LIMITS: Mapping[str, Limit] = {
    "method.loraplus_lr_ratio": Limit(1, 10_000, above=True),
    "lora.r": _RANK,
    "lora.alpha_ratio": _ALPHA_RATIO,
    "lora.dropout": Limit(0, 0.999),
    "train.learning_rate": _RATE,
    "train.steps": Limit(1, 10_000_000),
    "train.batch_size": Limit(1, 65_536),
    "train.gradient_accumulation": Limit(1, 65_536),
    "train.warmup_fraction": Limit(0, 1),
    "train.weight_decay": Limit(0, 100),
    "train.max_grad_norm": Limit(0, 1e12, above=True),
    "evaluate.examples": _EXAMPLES,
    "evaluate.certify_examples": _EXAMPLES,
    "evaluate.test_examples": _EXAMPLES,
    "evaluate.max_new_tokens": Limit(1, 1_000_000, null=True),
    "evaluate.general_paragraphs": Limit(0, 10_000),
    # the seeds that judge come after it, and random generators take 32 bits
    "seed": Limit(0, 2**32 - 1 - MOST_SEEDS),
    "task.tune_fraction": Limit(0.05, 0.95),
    "task.max_length": Limit(1, 10_000_000),
    "search.trials": Limit(1, 100_000),
    "search.reports": Limit(1, 10_000),
    "search.report_examples": _EXAMPLES,
    "search.max_failures": Limit(1, 100_000),
    "search.grid_learning_rates": Limit(1, 1000),
    "search.space.rank": _RANK,
    "search.space.alpha_ratio": _ALPHA_RATIO,
    "search.space.dropout": Limit(0, 0.999),
    "search.space.learning_rate.low": _RATE,
    "search.space.learning_rate.high": _RATE,
    "certify.ladder": _RANK,
    "certify.seeds": Limit(1, MOST_SEEDS),
    "certify.first_look": Limit(1, MOST_SEEDS),
    "certify.margin": Limit(0, 1, above=True),
    "certify.alpha": Limit(1e-6, 0.5),
    "certify.rate_trials": Limit(1, 1000),
    "executor.threads": Limit(1, 4096, null=True),
    "engine.slots": Limit(1, 1024),
}
"""For each key its limit, for lists each value's; workers and threads are limited by the machine's cores as well."""

_BY_OTHERS = ("engine.slots", "method.loraplus_lr_ratio")
"""Keys that take other words than numbers, or none, and are checked where those are."""


def limit_problems(keys: SweepKeys) -> Iterator[str]:
    """What is outside its limits."""
    for key, limit in LIMITS.items():
        value: Any = reduce(getattr, key.split("."), keys)
        if key in _BY_OTHERS or (value is None and limit.null):
            continue
        if not isinstance(value, list):
            if not limit.allows(value):
                yield f"{key}={value}: must be {limit}"
            continue
        if len(value) > MOST_VALUES:
            yield f"{key}: has {len(value)} values; at most {MOST_VALUES} are possible"
        elif any(not limit.allows(each) for each in value):
            yield f"{key}={value}: every value must be {limit}"


def within_limits(key: str, values: Sequence[float]) -> bool:
    """Whether a list has no problem of its own."""
    return len(values) <= MOST_VALUES and all(map(LIMITS[key].allows, values))
