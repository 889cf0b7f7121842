"""The methods by which a base is adapted: one file each, found by itself; imports no heavy library.

Adding a method is one file here, one in `conf/method/`, and a line in `tests/methods/cases.py` (docs/methods.md).
"""

from sweep.methods.entry import entry_fields
from sweep.methods.lora_scale import is_rank_stabilized, scale, scale_growth
from sweep.methods.method import (
    ALPHA,
    ALPHA_PATTERN,
    DROPOUT,
    INIT,
    LAYERS,
    LORA_FIELDS,
    RANK,
    RANK_PATTERN,
    TARGETS,
    Method,
    NoKeys,
    TrainingFacts,
)
from sweep.methods.registry import method_of, methods, names, trains_packed, virtual_tokens
from sweep.methods.words import (
    FULL,
    LORA_FAMILY,
    LORA_VARIANTS,
    arm_words,
    label_of,
    on_own_base,
    own_words,
    title_of,
)

__all__ = [
    "ALPHA",
    "ALPHA_PATTERN",
    "DROPOUT",
    "FULL",
    "INIT",
    "LAYERS",
    "LORA_FAMILY",
    "LORA_FIELDS",
    "LORA_VARIANTS",
    "RANK",
    "RANK_PATTERN",
    "TARGETS",
    "Method",
    "NoKeys",
    "TrainingFacts",
    "arm_words",
    "entry_fields",
    "is_rank_stabilized",
    "label_of",
    "method_of",
    "methods",
    "names",
    "on_own_base",
    "own_words",
    "scale",
    "scale_growth",
    "title_of",
    "trains_packed",
    "virtual_tokens",
]
