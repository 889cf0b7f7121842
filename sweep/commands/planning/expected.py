"""What a new study may take, for the line that it begins with: from recorded trials alone, without the base's files."""

from __future__ import annotations

from sweep.commands.planning.base_facts import facts_by_size
from sweep.commands.planning.costs import costs_of
from sweep.commands.planning.outlook import CALIBRATION, device_words, times_of
from sweep.commands.planning.recorded import recorded_speeds, timed_trials
from sweep.commands.planning.workload import CharacterEncoder, workload_of
from sweep.records import StudyPlan
from sweep.reports.forecast import Span
from sweep.store.paths import Paths
from tasks import Splits

_ANY_SIZE = 1_000_000
"""Parameters of the base: seconds per operation and operations have it in common, so it cancels."""


def expected_words(plan: StudyPlan, splits: Splits, paths: Paths) -> str | None:
    """The time of a new study in words; None if no trial of its base is recorded here.

    Tokens are guessed from characters, in the recorded trials as in the study's own.
    """
    places = [each for each in (paths, Paths(paths.root / CALIBRATION)) if (each.root / "trials").is_dir()]
    if not places or plan.setup.device not in ("cpu", "mps"):  # to name a GPU would load torch
        return None
    encoder, facts = CharacterEncoder(), facts_by_size(_ANY_SIZE)
    load = workload_of(plan, splits, encoder, counted=False, with_labels=False)
    device = device_words(plan)
    timed = [trial for each in places for trial in timed_trials(each, plan, device, facts, load, encoder)]
    speeds = recorded_speeds(timed, plan.setup.engine)
    if speeds is None:
        return None
    times = times_of(plan, None, costs_of(plan, facts, load, speeds, len(splits.certify)))
    span = Span(sum(each.low for each in times), sum(each.high for each in times))
    return f"{span.seconds()} (expected from {speeds.source})"
