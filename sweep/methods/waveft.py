"""WaveFT."""

from dataclasses import dataclass
from typing import Annotated, Any

from sweep.methods.method import TARGETS, Method, TrainingFacts
from sweep.records import Arm
from sweep.records.keys import Key, Limit


@dataclass(frozen=True, slots=True)
class WaveKeys:
    """The wavelet coefficients."""

    frequencies: Annotated[
        int, Key("entries of the spectrum that are trained in each module", Limit(1, 10_000_000), example="1000")
    ] = 2592
    scaling: Annotated[float, Key("factor of the update", Limit(0, 1e6, above=True), example="25")] = 25.0


def _settings(arm: Arm, facts: TrainingFacts) -> dict[str, Any]:
    own = dict(arm.own)
    return {
        "n_frequency": own["frequencies"],
        "scaling": own["scaling"],
        "target_modules": list(arm.targets),
    }


METHOD = Method(
    name="waveft",
    title="WaveFT",
    text="trains a few entries of the update's wavelet transform",
    paper="Bilican et al. 2025, arXiv:2505.12532",
    peft="WaveFTConfig",
    settings=_settings,
    keys=WaveKeys,
    space={"frequencies": (650, 2592, 10_000)},
    lora=(TARGETS,),
    mergeable=True,
    why_not={
        "packed": "its update is of another form than those that are packed",
    },
)
