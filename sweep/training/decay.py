"""Decay of the trained weights towards their first values (`train.decay_to_base`).

L2-SP (Li, Grandvalet and Davoine 2018, arXiv:1802.01483) adds a penalty on the distance from the pretrained weights. As AdamW does with
weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), the pull is applied beside the optimizer's step and not as part of the
gradient, which Adam would rescale: w <- w - lr * decay * (w - w0).

With full fine-tuning w0 is the base itself. An adapter's w0 is where its training begins, which computes the same as the base: LoRA's
B is zero there, and with a subtracted initial product (PiSSA, OLoRA) B A = B0 A0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn


def decay_towards(first: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer, decay: float) -> None:
    """Moves all weights of an optimizer towards their first values; call before its step, as each weight's rate is that of the step.

    Args:
        first: in the order of the optimizer's groups and their parameters.
        decay: multiplied with the learning rate, the share of the distance that is taken back; at most all of it.
    """
    values = iter(first)
    with torch.no_grad():
        for group in optimizer.param_groups:
            share = min(1.0, float(group["lr"]) * decay)
            for parameter in group["params"]:
                parameter.lerp_(next(values), share)


def first_values(
    optimizer: torch.optim.Optimizer, known: Mapping[nn.Parameter, torch.Tensor] = MappingProxyType({})
) -> list[torch.Tensor]:
    """All weights of an optimizer as they are, in the order that `decay_towards` takes.

    Args:
        known: weights of which a copy exists already.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [known[each] if each in known else each.detach().clone() for each in parameters]
