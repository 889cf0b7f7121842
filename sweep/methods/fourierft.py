"""FourierFT."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class FourierKeys:
    """The spectrum."""

    frequencies: Annotated[
        int, Key("entries of the spectrum that are trained in each module", Limit(1, 10_000_000), example="1000")
    ] = 1000
    scaling: Annotated[float, Key("factor of the update", Limit(0, 1e6, above=True), example="150")] = 150.0


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {
        "n_frequency": own["frequencies"],
        "scaling": own["scaling"],
        "init_weights": True,
        "target_modules": list(arm.targets),
    }


METHOD = Method(
    name="fourierft",
    title="FourierFT",
    text="trains a few entries of the update's Fourier transform",
    paper="Gao et al. 2024, arXiv:2405.03003",
    peft="FourierFTConfig",
    settings=_settings,
    keys=FourierKeys,
    space={"frequencies": (250, 1000, 4000)},
    lora=(TARGETS,),
    mergeable=True,
    why_not={
        "packed": "its update is of another form than those that are packed",
    },
)
