"""The workers of a study. Imports little, so that the first one can load while the study's other modules are imported."""

from __future__ import annotations

from dataclasses import replace

from sweep.records import CapacityRequest, StudyPlan
from sweep.search.space import largest_arms
from sweep.store.paths import Paths
from sweep.study.checks import least_examples
from sweep.workers.pool import Pool


def worker_pool(plan: StudyPlan, paths: Paths, data_hash: str) -> Pool:
    """The workers that a plan asks for; none is started yet. They hold all certify examples: each trial says how many it needs.

    Args:
        data_hash: hash of the data that the study was planned with.
    """
    scoring = replace(plan.setup.scoring, certify_examples=None)
    return Pool(
        replace(plan.setup, scoring=scoring),
        paths,
        plan.workers,
        plan.name,
        CapacityRequest(
            plan.slots,
            largest_arms(plan),
            plan.training,
            plan.seed,
            plan.setup.workers_on_device,
            measures=plan.measure_slots,
            arms=tuple(each.arm for each in plan.declaration.arms) if plan.certify else (),
        ),
        data_hash=data_hash,
        least=least_examples(plan),
    )
