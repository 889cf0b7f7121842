"""Whether replay, decay towards the base and early stopping (docs/forgetting.md) make sense in a configuration."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.schema import Config
from sweep.methods import Method
from sweep.records.training import PATIENCE


def refused_recipe(config: Config, method: Method) -> Iterator[tuple[str, str]]:
    """The given keys that a method cannot be combined with, and the name of what it lacks in `Method.why_not`."""
    train = config.train
    if train.decay_to_base and not method.starts_at_base:
        yield f"train.decay_to_base={train.decay_to_base:g}", "starts_at_base"
    if train.early_stopping and not method.stops_early:
        yield f"train.early_stopping={train.early_stopping}", "stops_early"


def forgetting_problems(config: Config) -> Iterator[str]:
    """Values without an effect, or with one that nobody wants."""
    train = config.train
    if train.replay_path is not None and not train.replay:
        yield f"train.replay_path={train.replay_path}: has no effect without train.replay; write train.replay=0.25, or leave it out"
    if train.patience != PATIENCE and not train.early_stopping:
        yield (
            f"train.patience={train.patience}: has no effect without train.early_stopping, the steps between looks; write "
            "train.early_stopping=8, or leave it out"
        )
    if train.epochs is None and train.early_stopping >= train.steps:
        yield (
            f"train.early_stopping={train.early_stopping}: with train.steps={train.steps} there is no look before the end; write "
            f"{max(1, train.steps // 5)}, or leave it out"
        )
    if not train.decay_to_base:
        return
    if train.weight_decay:
        yield (
            f"train.decay_to_base={train.decay_to_base:g}: train.weight_decay={train.weight_decay:g} pulls the same weights towards zero; "
            "leave one of them out"
        )
    for key, rate in (
        ("train.learning_rate", train.learning_rate),
        ("search.space.learning_rate.high", config.search.space.learning_rate.high),
    ):
        if rate * train.decay_to_base > 1:
            yield (
                f"train.decay_to_base={train.decay_to_base:g}: a step takes back the learning rate times this, which at {key}={rate:g} is "
                f"more than the whole distance; write {1 / rate:.3g} at most"
            )
            return
