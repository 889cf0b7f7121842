"""A plan with its data."""

from __future__ import annotations

from sweep.config.load import with_steps
from sweep.records import StudyPlan
from sweep.store.paths import Paths
from sweep.training.splits import load_splits
from tasks import Splits


def load_data(plan: StudyPlan, paths: Paths) -> tuple[StudyPlan, Splits]:
    """Loads a plan's splits; returns the plan, `train.epochs` resolved to steps, and the splits.

    Every command starts with this: until its epochs are resolved, a plan has no steps.

    Raises:
        DataError: lists every problem with its file and line.
        ConfigurationError: the steps are more than `train.steps` may be.
    """
    splits = load_splits(plan.setup.task, paths)
    return with_steps(plan, len(splits.train)), splits
