"""The configuration as a study's records keep it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from sweep.config.overrides import ALTERNATIVES
from sweep.console.masking import mask
from sweep.records import SearchedMethod

_URL_KEYS = ("tracking.uri", "storage.url")


def recorded_yaml(composed: DictConfig, compute: str, searched: Sequence[SearchedMethod] = ()) -> str:
    """The resolved configuration as records keep it: no URL holds credentials, and `train.epochs` and `lora.alpha` are left out.

    They are recorded as `train.steps`, see `sweep.config.load.with_steps`, and `lora.alpha_ratio`.

    Args:
        compute: what `quant.compute` was resolved to.
        searched: the methods of a search over methods; their ranges of learning rates are recorded.
    """
    copy = OmegaConf.create(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)))
    for key in _URL_KEYS:
        value = OmegaConf.select(copy, key)
        if isinstance(value, str):
            OmegaConf.update(copy, key, mask(value))
    if (alpha := OmegaConf.select(copy, "lora.alpha")) is not None:
        copy.lora.alpha_ratio = float(alpha) / int(copy.lora.r)
    for key in ALTERNATIVES:
        section, name = key.split(".")
        copy.get(section, {}).pop(name, None)
    copy.pop("dry_run", None)
    for name in ("rank_pattern", "alpha_pattern", "layers"):
        if name in copy.get("lora", {}) and not copy.lora[name]:
            del copy.lora[name]  # of no effect, and unknown to earlier versions
    for name in [name for name, value in copy.get("method", {}).items() if value is None]:
        del copy.method[name]  # of another method
    rates = {each.name: list(each.space.learning_rate) for each in searched}
    for name, value in (("method", list(rates)), ("learning_rates", rates)):
        if rates:
            OmegaConf.update(copy, f"search.space.{name}", value, merge=False, force_add=True)
        else:
            OmegaConf.select(copy, "search.space", default=OmegaConf.create({})).pop(name, None)
    OmegaConf.update(copy, "quant.compute", compute, force_add=True)
    return OmegaConf.to_yaml(copy)
