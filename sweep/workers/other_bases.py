"""Bases beside the study's, for arms with a quantization of their own: how many trials fit on each, as its first worker found."""

from __future__ import annotations

from dataclasses import replace

from sweep.records import CapacityRequest, SlotCapacity, TrialSpec
from sweep.runner.requirements import Requirements


def base_of(spec: TrialSpec) -> str | None:
    """The quantization of the base that a trial needs; None for the study's."""
    return None if spec.arm is None else spec.arm.quant


class OtherBases:
    """What is known of the other bases.

    Args:
        request: asks the first worker on each how many trials it can train side by side; None: as many as on the study's base.
    """

    def __init__(self, request: CapacityRequest | None) -> None:
        self._request = None if request is None else replace(request, measures=False, arms=())
        self._known: dict[str, SlotCapacity] = {}

    def add(self, base: str, capacity: SlotCapacity) -> None:
        """Adds what the first worker on a base found."""
        self._known[base] = capacity

    def request(self, base: str) -> CapacityRequest | None:
        """What to ask the next worker on a base: nothing once it is known."""
        return None if base in self._known else self._request

    def requirements(self, base: str, of_study: Requirements) -> Requirements:
        """What a worker on a base must load."""
        known = self._known.get(base)
        checkpointing = of_study.checkpointing if known is None else known.checkpointing
        return replace(of_study, quant=base, checkpointing=checkpointing)

    def most(self, base: str, on_study: int) -> int:
        """Number of trials that a worker trains side by side: no more than on the study's base; one until its first worker is loaded."""
        if self._request is None:
            return on_study
        return min(on_study, self._known[base].slots) if base in self._known else 1
