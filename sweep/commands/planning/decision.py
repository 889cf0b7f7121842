"""What a study's seeds can decide: chances from simulated studies, and the margin beside the noise that was seen here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import mean, variance

from sweep.commands.planning.recorded import TimedTrial
from sweep.records import Arm, Split, StudyPlan
from sweep.reports.forecast import by_cutting
from sweep.study.next_step import planned_looks
from sweep.verdict.power import Chances, between, chances

LIKELY = 0.8
"""A chance that is called likely."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What trials on the same certify data have shown.

    Attributes:
        margin: the plan's margin, in nats per token.
        seed_sd: standard deviation between seeds of the same arm.
        arms: arms with several seeds that it was seen on.
    """

    margin: float
    seed_sd: float
    arms: int

    @property
    def margin_in_sd(self) -> float:
        """The margin in standard deviations between seeds."""
        return self.margin / self.seed_sd


@dataclass(frozen=True, slots=True)
class Decision:
    """What the seeds of a plan can decide.

    Attributes:
        cut: whether the ladder is cut.
        looks: numbers of seeds at which the verdict is computed.
        simulated: the looks of the simulated studies that stand for them.
        rows: the chances.
        noise: None if no arm was trained with several seeds on this data.
    """

    cut: bool
    looks: tuple[int, ...]
    simulated: tuple[int, ...]
    rows: Sequence[Chances]
    noise: Noise | None

    def chance(self) -> float | None:
        """The chance that the smallest of equal ranks is certified in a trained ladder, at the noise that was seen."""
        return None if self.cut or self.noise is None else between(self.rows, self.noise.margin_in_sd)

    def enough(self) -> float | None:
        """Where an answer is likely; None if nowhere.

        Of a trained ladder the smallest simulated margin, in standard deviations between seeds; of a cut one the largest loss, in margins,
        that is still certified.
        """
        fitting = [row.at for row in self.rows if row.certified >= LIKELY]
        if not fitting:
            return None
        return max(fitting) if self.cut else min(fitting)


def decision_of(plan: StudyPlan, timed: Sequence[TimedTrial], data_hash: str) -> Decision | None:
    """What the seeds of this plan can decide; None if it ends without a verdict."""
    if not plan.certify:
        return None
    looks = planned_looks(plan.declaration.seeds, plan.first_look)
    cut = by_cutting(plan)
    simulated, rows = chances(looks, cut=cut)
    return Decision(cut, looks, simulated, rows, noise_of(plan, timed, data_hash))


def noise_of(plan: StudyPlan, timed: Sequence[TimedTrial], data_hash: str) -> Noise | None:
    """The noise between seeds on the plan's certify split; None if it is not known, or the margin is one in points of the metric."""
    declared = plan.declaration
    losses: dict[tuple[Arm, int], dict[int, float]] = {}
    bases: list[float] = []
    for trial in timed:
        spec, measures, provenance = trial.result.spec, trial.result.measures, trial.result.provenance
        if measures is None or provenance is None or provenance.data_hash != data_hash:
            continue
        if spec.split is not Split.CERTIFY or spec.training.steps != plan.training.steps:
            continue
        if spec.arm is None:
            bases.append(measures.loss)
        elif spec.arm.cut_from is None:
            key = (replace(spec.arm, learning_rate=0.0), measures.examples)
            losses.setdefault(key, {})[spec.seed] = measures.loss
    several = [list(by_seed.values()) for by_seed in losses.values() if len(by_seed) > 1]
    if not several or (declared.margin_of == "gain" and not bases) or declared.margin_of == "metric":
        return None
    freedom = sum(len(values) - 1 for values in several)
    seed_sd = sqrt(sum(variance(values) * (len(values) - 1) for values in several) / freedom)
    best = min(mean(values) for values in several)
    unit = mean(bases) - best if declared.margin_of == "gain" else best
    if seed_sd <= 0 or unit <= 0:
        return None
    return Noise(declared.margin * unit, seed_sd, len(several))
