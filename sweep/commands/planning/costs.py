"""What each kind of trial of a study takes, in seconds of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from sweep.commands.planning.base_facts import BaseFacts
from sweep.commands.planning.recorded import general_work
from sweep.commands.planning.speeds import (
    ANSWERING,
    GENERAL,
    LOADING_BYTES_PER_SECOND,
    SCORING,
    START_SECONDS,
    TRAINING,
    TRIAL_SECONDS,
    Speeds,
)
from sweep.commands.planning.work import Rows, answering_work, scoring_work, training_work
from sweep.commands.planning.workload import Workload
from sweep.records import Arm, Split, StudyPlan, examples_of
from sweep.records.trial import STOPPING_EXAMPLES
from sweep.study.examples import first_examples

_PROBED_STEPS = 1.3
"""A step on the longest batch, whose weights are dequantized, in units of a mean one."""

_CUT_SECONDS = 0.1
"""Of cutting an adapter, without evaluating it."""

_TEST_QUESTIONS_KNOWN = 1 / 3
"""Of the work of measuring forgetting, what a trial on test knows from before, with the default numbers of questions."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a worker for the parts of a study's trials.

    Attributes:
        certify_examples: number of certify examples, given or as the study would choose it.
    """

    plan: StudyPlan
    facts: BaseFacts
    load: Workload
    speeds: Speeds
    certify_examples: int

    @property
    def _packed(self) -> bool:
        return self.plan.setup.engine == "packed"

    def training(self, arm: Arm) -> float:
        """Of training an arm, without its evaluation, but with the looks of early stopping.

        In `engine=packed` a further step is measured for its memory; on another base than the study's, a worker loads that first.
        """
        own = training_work(self.facts, self.load.training, arm) * self.speeds.of(TRAINING, arm)
        if self._packed:
            own += _PROBED_STEPS * own / self.plan.training.steps
        if self.plan.training.early_stopping:
            looks = self.plan.training.steps // self.plan.training.early_stopping
            tune = self.load.evaluated[Split.TUNE].first(STOPPING_EXAMPLES)
            own += looks * scoring_work(self.facts, tune, arm) * self.speeds.of(SCORING, arm)
        return own + (2 * self.loading_seconds() if arm.quant not in (None, self.plan.setup.quant.name) else 0.0)

    def loading_seconds(self) -> float:
        """Of a worker's start, with its base."""
        return 0.6 * START_SECONDS + 2 * self.facts.parameters / LOADING_BYTES_PER_SECOND

    def evaluation(self, split: Split, arm: Arm | None, *, answers: bool = True, general: bool = True) -> float:
        """Of evaluating an arm, or the bare base, on a split."""
        rows = self._rows(split)
        seconds = scoring_work(self.facts, rows, arm) * self.speeds.of(SCORING, arm)
        if answers and self.plan.setup.scoring.answers != "none":
            work = answering_work(
                self.facts, rows, labels=self.load.labels, adapted=arm is not None, packed=self._packed
            )
            seconds += work * self.speeds.of(ANSWERING, arm)
        if general:
            known = _TEST_QUESTIONS_KNOWN if split is Split.TEST else 0.0
            work = general_work(self.facts, self.load, self.load.questions[split], packed=self._packed, arm=arm)
            seconds += (1 - known) * work * self.speeds.of(GENERAL, arm)
        return seconds + TRIAL_SECONDS

    def cut(self, arm: Arm) -> float:
        """Of cutting an adapter and evaluating it on certify."""
        return _CUT_SECONDS + self.evaluation(Split.CERTIFY, arm)

    def _rows(self, split: Split) -> Rows:
        rows = self.load.evaluated[split]
        return rows.first(self.certify_examples) if split is Split.CERTIFY else rows


def costs_of(plan: StudyPlan, facts: BaseFacts, load: Workload, speeds: Speeds, available: int) -> Costs:
    """The costs of a plan's trials.

    Args:
        available: number of certify examples in the data.
    """
    given = examples_of(plan.setup.scoring, Split.CERTIFY)
    if given is not None:
        return Costs(plan, facts, load, speeds, min(given, available))
    tokens = {"train": load.training.mean(), "certify": load.evaluated[Split.CERTIFY].mean()}
    return Costs(plan, facts, load, speeds, first_examples(plan, tokens, available))


def mean_training(costs: Costs, arms: Sequence[Arm]) -> float:
    """Mean seconds of training one of these arms."""
    return mean(costs.training(arm) for arm in arms)
