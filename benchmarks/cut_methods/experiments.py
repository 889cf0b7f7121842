"""What is trained, cut, healed and scored. Each experiment returns rows: a method, a rank, and the loss of every seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cut_methods.methods import WEIGHTINGS, cut, one_budget, uniform
from benchmarks.cut_methods.moments import Moments, moments
from benchmarks.cut_methods.workshop import Adapter, Job, Nats, Workshop
from sweep.records import Split
from sweep.training.batches import training_order
from sweep.training.encoding import Encoded
from sweep.training.input_grams import input_grams

TUNE_SEED = 0
HEALING_SEED = 1000
"""Added to a training's seed for the data order of its healing."""

Row = dict[str, Any]
"""`method`, `rank`, `of` (the uncut adapters that it is compared with), `losses` by seed."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        top: the rank that is cut.
        ranks: the ranks that it is cut to.
        trained: the ranks that are also trained from the start.
        rates: learning rate by rank, of `top` and of `trained`.
        calibration: number of training examples for the moments of inputs.
        with_gradients: number of training examples for the moments of inputs and gradients.
    """

    top: int
    ranks: tuple[int, ...]
    trained: tuple[int, ...]
    seeds: tuple[int, ...]
    rates: Mapping[int, float]
    calibration: int
    with_gradients: int


def tuned_rates(workshop: Workshop, ranks: Iterable[int], factors: Sequence[float]) -> dict[int, dict[float, float]]:
    """The loss on tune of each rank by learning rate; the rates are those of `rate_at`, times the factors."""
    found = {}
    for rank in ranks:
        rates = [float(f"{rate_at(workshop.plan.arm.learning_rate, rank) * factor:.2g}") for factor in factors]
        jobs = [
            Job(f"tune-r{rank}-{rate:g}", workshop.arm(rank, rate), TUNE_SEED, workshop.plan.training.steps)
            for rate in rates
        ]
        adapters = workshop.train(jobs)
        losses = workshop.losses({job.name: _value(adapters[job.name]) for job in jobs}, Split.TUNE)
        found[rank] = {rate: workshop.loss(losses[job.name], Split.TUNE) for rate, job in zip(rates, jobs, strict=True)}
    return found


def rate_at(rate: float, rank: int) -> float:
    """Where the search for a rank's rate begins: the plan's rate at rank 16, and halved where the rank is quadrupled."""
    return float(rate * (16 / rank) ** 0.5)


class Comparison:
    """The experiments on one data set.

    Attributes:
        tops: the uncut adapters by seed.
    """

    def __init__(self, workshop: Workshop, question: Question) -> None:
        self.workshop, self.question = workshop, question
        self.tops = self._trained(question.top, question.rates[question.top])
        self.base: Nats = workshop.losses({"base": lambda: None})["base"]
        self._moments: dict[int, Mapping[str, Moments]] = {}
        self._grams: dict[int, Mapping[str, Moments]] = {}

    def uncut(self) -> list[Row]:
        """The uncut adapters."""
        return [self._row("trained", self.question.top, self._of_seeds(f"r{self.question.top}", self.tops))]

    def trained(self) -> list[Row]:
        """The smaller ranks, trained from the start."""
        return [
            self._row("trained", rank, self._of_seeds(f"r{rank}", self._trained(rank, self.question.rates[rank])))
            for rank in self.question.trained
        ]

    def cuts(self, ranks: Sequence[int], weightings: Sequence[str] = WEIGHTINGS, *, budgets: bool) -> list[Row]:
        """Cuts of every kind.

        Args:
            budgets: one budget over all modules, rather than one rank.
        """
        rows = []
        for weighting in weightings:
            for rank in ranks:
                method = f"{weighting}, one budget" if budgets else weighting
                made = {
                    f"{method}-r{rank}-s{seed}": self._lazily_cut(seed, weighting, rank, budgets)
                    for seed in self.question.seeds
                }
                rows.append(self._row(method, rank, self.workshop.losses(made)))
        return rows

    def calibrations(self, ranks: Sequence[int], counts: Sequence[int]) -> list[Row]:
        """The cut weighted by inputs, measured on other numbers of examples, or with the adapter in place."""
        kinds = {f"inputs, {count} examples": self._grams_from(count) for count in counts}
        kinds["inputs, adapter in place"] = self._moments_of
        rows = []
        for method, measured in kinds.items():
            for rank in ranks:
                made: dict[str, Callable[[], Adapter]] = {
                    f"{method}-r{rank}-s{seed}": lambda seed=seed, rank=rank, measured=measured: cut(
                        self.tops[seed], measured(seed), "inputs", uniform(self.tops[seed], rank)
                    )
                    for seed in self.question.seeds
                }
                rows.append(self._row(method, rank, self.workshop.losses(made)))
        return rows

    def healing(self, weighting: str, ranks: Sequence[int], settings: Sequence[tuple[int, float]]) -> list[Row]:
        """A few more steps after the cut; rank `top` is the uncut adapter with the same steps.

        Args:
            settings: steps and learning rate.
        """
        rows = []
        for steps, rate in settings:
            for rank in (self.question.top, *ranks):
                method = f"{weighting}, healed {steps} steps at {rate:g}"
                jobs = [
                    Job(
                        f"{method}-r{rank}-s{seed}",
                        self.workshop.arm(rank, rate),
                        HEALING_SEED + seed,
                        steps,
                        self._lazily_cut(seed, weighting, rank, False)(),
                    )
                    for seed in self.question.seeds
                ]
                healed = self.workshop.train(jobs, f"healing of {steps} steps")
                made = {name: _value(adapter) for name, adapter in healed.items()}
                rows.append(self._row(method, rank, self.workshop.losses(made)))
        return rows

    def other_tops(self, weighting: str, ranks: Sequence[int], rate: float, alpha_ratio: float) -> list[Row]:
        """Uncut and cut adapters of another recipe for the top: learning rate times `rate`, or another alpha."""
        question, rows = self.question, []
        name = f"rate x {rate:g}" if rate != 1 else f"alpha = {alpha_ratio:g} r"
        tops = self._trained(question.top, question.rates[question.top] * rate, alpha_ratio, name)
        rows.append(self._row("trained", question.top, self._of_seeds(f"{name}-r{question.top}", tops), name))
        for rank in ranks:
            made: dict[str, Callable[[], Adapter]] = {}
            for seed, top in tops.items():
                made[f"{name}, {weighting}-r{rank}-s{seed}"] = lambda top=top, rank=rank: cut(
                    top, self._moments_for(weighting, top), weighting, uniform(top, rank)
                )
            rows.append(self._row(weighting, rank, self.workshop.losses(made), name))
        return rows

    def cut_of(self, seed: int, weighting: str, rank: int) -> Nats:
        """The losses of a cut with one rank."""
        name = f"r{rank}-s{seed}" if rank == self.question.top else f"{weighting}-r{rank}-s{seed}"
        return self.workshop.losses({name: self._lazily_cut(seed, weighting, rank, False)})[name]

    def _trained(self, rank: int, rate: float, alpha_ratio: float | None = None, name: str = "") -> dict[int, Adapter]:
        arm, steps = self.workshop.arm(rank, rate, alpha_ratio), self.workshop.plan.training.steps
        jobs = [Job(f"{name}-r{rank}-s{seed}".lstrip("-"), arm, seed, steps) for seed in self.question.seeds]
        trained = self.workshop.train(jobs)
        return {seed: trained[job.name] for seed, job in zip(self.question.seeds, jobs, strict=True)}

    def _lazily_cut(self, seed: int, weighting: str, rank: int, budgets: bool) -> Callable[[], Adapter]:
        def make() -> Adapter:
            top = self.tops[seed]
            if rank == self.question.top:
                return top
            measured = self._moments_for(weighting, top, seed)
            ranks = one_budget(top, measured, weighting, rank) if budgets else uniform(top, rank)
            return cut(top, measured, weighting, ranks)

        return make

    def _moments_for(self, weighting: str, adapter: Adapter, seed: int | None = None) -> Mapping[str, Moments]:
        """What the cut needs: nothing, the study's own Gram matrices, or the moments with the adapter in place."""
        if weighting == "plain":
            return {}
        if weighting == "inputs":
            if seed is None:
                return self._grams_of([adapter], self.question.calibration)[0]
            if not self._grams:
                measured = self._grams_of(list(self.tops.values()), self.question.calibration)
                self._grams = dict(zip(self.tops, measured, strict=True))
            return self._grams[seed]
        return self._measured(adapter) if seed is None else self._moments_of(seed)

    def _moments_of(self, seed: int) -> Mapping[str, Moments]:
        if seed not in self._moments:
            self._moments[seed] = self._measured(self.tops[seed])
        return self._moments[seed]

    def _measured(self, adapter: Adapter) -> Mapping[str, Moments]:
        workshop = self.workshop
        with workshop.timed("moments with gradients"):
            return moments(workshop.loaded.base, workshop.pack, adapter, self._examples(self.question.with_gradients))

    def _grams_from(self, count: int) -> Callable[[int], Mapping[str, Moments]]:
        return lambda seed: self._grams_of([self.tops[seed]], count)[0]

    def _grams_of(self, adapters: Sequence[Adapter], count: int) -> list[dict[str, Moments]]:
        downs = [{name: down for name, (down, _) in adapter.matrices.items()} for adapter in adapters]
        with self.workshop.timed("Gram matrices of the bare base", len(adapters)):
            grams = input_grams(self.workshop.loaded.base, downs, self._examples(count))
        return [{name: Moments(gram, gram) for name, gram in own.items()} for own in grams]

    def _examples(self, count: int) -> list[Encoded]:
        """The first of the study's own calibration examples, or more of the same."""
        train = self.workshop.loaded.train
        return [train[index] for index in training_order(len(train), min(count, len(train)), seed=0)]

    def _of_seeds(self, name: str, adapters: Mapping[int, Adapter]) -> dict[str, Nats]:
        return self.workshop.losses({f"{name}-s{seed}": _value(adapter) for seed, adapter in adapters.items()})

    def _row(self, method: str, rank: int, losses: Mapping[str, Nats], of: str = "") -> Row:
        return {
            "method": method,
            "rank": rank,
            "of": of,
            "losses": [round(self.workshop.loss(nats), 5) for nats in losses.values()],
        }


def _value(adapter: Adapter) -> Callable[[], Adapter]:
    return lambda: adapter
