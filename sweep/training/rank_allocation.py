"""AdaLoRA's part in a training step: the penalty in its loss, and the ranks of its modules."""

from __future__ import annotations

from typing import Any

import torch
from peft import AdaLoraModel, PeftModel


def allocator_of(model: Any) -> AdaLoraModel | None:
    """The model whose ranks change during the training; None for every other method."""
    return model.base_model if isinstance(model, PeftModel) and isinstance(model.base_model, AdaLoraModel) else None


def penalty(model: AdaLoraModel) -> float:
    """What `peft.AdaLoraModel.forward` adds to the loss: the mean distance of A A^T and B^T B from the identity, weighted."""
    name = model.trainable_adapter_name
    distances = []
    with torch.no_grad():
        for key, parameter in model.model.named_parameters():
            if ("lora_A" in key or "lora_B" in key) and name in key:
                product = parameter @ parameter.T if "lora_A" in key else parameter.T @ parameter
                distances.append(torch.linalg.norm(product - torch.eye(len(product), device=product.device)))
    if not distances:
        return 0.0
    return float(model.peft_config[name].orth_reg_weight * torch.stack(distances).mean())


def allocate(model: Any, step: int) -> None:
    """Moves rank between the modules, after an optimizer step and while its gradients exist.

    Args:
        step: number of optimizer steps before this one.
    """
    allocator = allocator_of(model)
    if allocator is not None:
        allocator.update_and_allocate(step)
