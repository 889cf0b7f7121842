"""A base model without its weights: its tokenizer, and the sizes of adapters for it. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.errors import ConfigurationError
from sweep.methods import TrainingFacts
from sweep.records import Arm, ArmSize
from sweep.records.arm import DEFAULT_INIT
from sweep.training.machine import quiet_libraries

BYTES_PER_PARAMETER = 4
"""Adapters are stored in fp32."""


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer in a model's folder.

    Raises:
        ConfigurationError: it cannot be loaded.
    """
    quiet_libraries()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # files of any kind, read by several libraries
        raise ConfigurationError(
            f"{folder}: its tokenizer cannot be loaded ({type(error).__name__}: {error})"
        ) from error


def made_sizes(arms: Iterable[Arm], folder: Path, steps: int) -> Iterator[ArmSize]:
    """The size of each arm's adapter, which PEFT makes for a model without numbers (torch's `meta` device).

    What A and B start as changes no size, so that those which need weights are left out.

    Args:
        folder: of the base model.
        steps: of the training, which some methods' settings depend on.
    """
    quiet_libraries()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from sweep.training.adapters import attach, detach, trainable_parameters

    meta = torch.device("meta")
    with meta:
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(folder)))
    model.requires_grad_(False)
    for arm in arms:
        try:
            with meta:
                adapted = attach(model, replace(arm, init=DEFAULT_INIT), seed=0, facts=TrainingFacts(steps))
        except ConfigurationError as error:
            yield ArmSize(problem="; ".join(error.problems))
            continue
        parameters = trainable_parameters(adapted)
        detach(adapted)
        yield ArmSize(BYTES_PER_PARAMETER * parameters, parameters)
