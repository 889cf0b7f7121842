"""The trials of the experiment: each method with each way of forgetting less, one after the other, by the project's own engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep.commands.app import composed_plan
from sweep.records import Arm, Stage, StudyPlan, TrialResult, TrialSpec
from sweep.runner.setup import LoadedSetup, load_setup
from sweep.store.identity import adapter_identity, trial_identity
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore

STEPS, BATCH = 40, 4
SHARED = (
    f"train.steps={STEPS}",
    f"train.batch_size={BATCH}",
    "evaluate.examples=128",
    "evaluate.general_paragraphs=32",
    "evaluate.answers=none",
    "executor.workers=1",
    "certify=none",
)
TAKEN_BACK = 0.05
"""`train.decay_to_base` is chosen so that a step at the peak rate takes back this share of the distance from the base."""


@dataclass(frozen=True, slots=True)
class Row:
    """A method with a way of forgetting less.

    Attributes:
        words: overrides of the configuration, without the seed.
    """

    method: str
    way: str
    words: tuple[str, ...]

    @property
    def group(self) -> tuple[bool, bool, bool]:
        """Rows of a group share base, data and engine."""
        return self.method == "full", "quant=nf4" in self.words, self.way == "replay 25 %"


_METHODS: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "LoRA, rank 8": (3e-3, 2.0, ("method=lora", "lora.r=8", "quant=none")),
    "rsLoRA, rank 64": (1e-3, 2.0, ("method=rslora", "lora.r=64", "quant=none")),
    "QLoRA, rank 8": (3e-3, 2.0, ("method=lora", "lora.r=8", "quant=nf4")),
    "full": (1e-4, 0.0, ("method=full", "quant=none")),
}
"""Learning rate, alpha ratio (0: has none) and overrides of each method."""


def rows() -> Iterator[Row]:
    """Every combination; full fine-tuning has no alpha."""
    for method, (rate, alpha, words) in _METHODS.items():
        own = (*SHARED, *words, f"train.learning_rate={rate}", *([f"lora.alpha_ratio={alpha}"] if alpha else []))
        yield Row(method, "none", own)
        yield Row(method, "replay 25 %", (*own, "train.replay=0.25"))
        yield Row(method, "decay to base", (*own, f"train.decay_to_base={TAKEN_BACK / rate:.0f}"))
        yield Row(method, "early stopping", (*own, "train.early_stopping=5"))
        if alpha:
            yield Row(method, "alpha / 4", (*own, f"lora.alpha_ratio={alpha / 4}"))


def plan_of(row: Row, seed: int) -> StudyPlan:
    """The plan of a row's trial."""
    last = {word.split("=")[0]: word for word in row.words}  # a later word replaces an earlier one
    return composed_plan([*last.values(), f"seed={seed}", "study.name=forgetting"], searches=False)


class Bench:
    """Base, data and engine of one group of rows, loaded once."""

    def __init__(self, plan: StudyPlan, paths: Paths) -> None:
        from sweep.runner.runner import TrialRunner

        self._paths = paths
        self._loaded: LoadedSetup = load_setup(plan.setup, paths)
        self._runner = TrialRunner(self._loaded)

    def base(self, plan: StudyPlan) -> TrialResult:
        """The unadapted base, from the store if it is there."""
        return self._run(plan, None)

    def trial(self, plan: StudyPlan) -> TrialResult:
        """The plan's own arm, from the store if it is there."""
        return self._run(plan, plan.arm)

    def _run(self, plan: StudyPlan, arm: Arm | None) -> TrialResult:
        known = self._loaded.description
        of_adapter = adapter_identity(
            plan.setup, known.base_hash, known.weights_hash(plan.training), arm, plan.training, plan.seed
        )
        identity = trial_identity(plan.setup, known.base_hash, known.data_hash, arm, plan.training, plan.seed)
        stage = Stage.BASE if arm is None else Stage.SINGLE
        spec = TrialSpec(identity, plan.name, stage, arm, plan.training, plan.seed, adapter=of_adapter)
        return TrialStore(self._paths).find(identity) or self._runner.run(spec, _Silent())


class _Silent:
    """Hears progress and says nothing; see `sweep.runner.running.Listener`."""

    def progress(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        pass

    def report(self, step: int, loss: float) -> bool:
        return False


def missing(known: Sequence[tuple[str, str, int]], seeds: int) -> list[tuple[Row, int]]:
    """The rows and seeds that are not there yet, the first seed of all rows first, those of a group together."""
    order = list(dict.fromkeys(row.group for row in rows()))
    wanted = [(row, seed) for seed in range(seeds) for row in sorted(rows(), key=lambda row: order.index(row.group))]
    return [(row, seed) for row, seed in wanted if (row.method, row.way, seed) not in known]
