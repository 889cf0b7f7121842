"""How fast this machine computes what trials consist of: seconds per operation, and how far a trial may be from that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.methods import method_of
from sweep.records import Arm, WorkerSetup

TRAINING, SCORING, ANSWERING, GENERAL = "training", "scoring", "answering", "general"
"""The parts of a trial that are timed; the last one is general prose and questions."""

SHARES: Mapping[str, Mapping[str, float]] = {
    "packed": {TRAINING: 0.62, SCORING: 0.68, ANSWERING: 0.37, GENERAL: 0.74},
    "trainer": {TRAINING: 0.57, SCORING: 0.53, ANSWERING: 0.40, GENERAL: 0.60},
}
"""By engine, the share of a matrix product's own rate that the parts of a trial reach on a CPU: what else they do are attention, norms, the
adapter's small products and, in answering, passes of a few tokens. Measured on SmolLM2-135M (Intel Xeon with AVX-512, fp32, one thread
per worker) on the recorded trials of pharma and pharma_methods."""

TRIAL_SECONDS = 0.6
"""Of a trial besides training and evaluation: its folder, its records, the way to the worker and back."""
START_SECONDS = 14.0
"""From the command to the first trial, with a small base: libraries, databases, the base's weights."""
END_SECONDS = 6.0
"""From the last trial to the report."""
LOADING_BYTES_PER_SECOND = 0.4e9
"""Of weights that are read, quantized and copied."""


BASE, OTHERS = "the unadapted base", "other methods"
"""Keys of `Speeds.rates` beside the names of methods."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds per operation.

    Attributes:
        rates: by part of a trial, then by method, `BASE`, or `OTHERS` for what is not named.
        spread: the minutes of a whole study lie within a factor of 1 + spread of the prediction.
        source: what they were measured on, in words.
        measured: whether that was trials.
    """

    rates: Mapping[str, Mapping[str, float]]
    spread: float
    source: str
    measured: bool = True

    def of(self, part: str, arm: Arm | None) -> float:
        """Of a part of an arm's trial, or of the bare base's; of a method that was not measured, as of the others."""
        rates = self.rates[part]
        return rates.get(BASE if arm is None else method_of(arm).name, rates[OTHERS])


def speeds_of_products(operations_per_second: float, engine: str, spread: float, source: str) -> Speeds:
    """The speeds that follow from the rate of a matrix product alone."""
    rates = {part: {OTHERS: 1 / (share * operations_per_second)} for part, share in SHARES[engine].items()}
    return Speeds(rates, spread, source, measured=False)


BUSY = 0.75
"""Processes that want to run, in units of the cores, from which on a machine is called busy."""

SPREAD_OF_PRODUCTS = 0.35
"""On a CPU."""
SPREAD_ON_A_GPU = 2.0
"""There, a pass of a small base waits for its launches."""


def busy_words(cores: int) -> str | None:
    """That other programs take the processor, so that what is measured now is slower; None if they do not, or if that is not known."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
    return f"other programs keep the processor busy (load {load:.1f} on {cores} cores)" if load > BUSY * cores else None


def measured_products(setup: WorkerSetup) -> Speeds:
    """Times a matrix product on this machine, which takes a moment.

    Args:
        setup: of the plan's workers.
    """
    from sweep.training.product_rate import product_rates

    device, compute = setup.device, setup.quant.compute
    rates = product_rates(device, setup.threads)
    rate = rates.get(compute, rates["float32"])
    if device == "cpu" and compute != "float32":
        # what is no product with the base stays in fp32, so it takes as long as beside products in fp32
        share = SHARES[setup.engine][TRAINING]
        rate = 1 / (share / rate + (1 - share) / rates["float32"])
    spread = SPREAD_OF_PRODUCTS if device == "cpu" else SPREAD_ON_A_GPU
    return speeds_of_products(
        rate, setup.engine, spread, f"the rate of matrix products here ({rate / 1e9:.0f} GFLOPS a worker)"
    )
