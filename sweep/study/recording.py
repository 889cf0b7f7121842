"""What a sweep's MLflow runs say about the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sweep.console.command_line import command_line
from sweep.records import Status, StudyPlan, StudyRecord, TrialResult
from sweep.store.trials import TrialStore
from sweep.tracking import Summary, SweepRun, names
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.verdict_json import reasons_unjudged

_OF_AN_ARM = ("train.learning_rate", "method.loraplus_lr_ratio")
"""Keys of the configuration's own arm, beside `lora.*`."""
_NOT_A_RECIPE = ("hydra", "search", "tracking", "storage", "study", "budget", "certify", "executor")


Told = Mapping[str, tuple[TrialResult, Sequence[Path]]]
"""See `SweepRun.told`."""


def told(record: StudyRecord, store: TrialStore) -> Told:
    """How the study's trials ended, by MLflow run."""
    return {
        trial.run_id: (trial.result, store.artifacts(trial.result))
        for trial in record.all_trials()
        if trial.run_id is not None
    }


def sweep_run(plan: StudyPlan, identity: str, told: Told, *, alone: bool = True) -> SweepRun:
    """The parent run of this invocation.

    Args:
        alone: whether this is a study, which nobody else sweeps, and not a single trial.
    """
    params = dict(_flat(yaml.safe_load(plan.config)))
    own = {key: value for key, value in params.items() if key in _OF_AN_ARM or key.startswith("lora.")}
    return SweepRun(
        study=plan.name,
        config_yaml=plan.config,
        tags={"sweep.identity": identity, "sweep.engine": plan.setup.engine},
        params={key: value for key, value in params.items() if key not in own},
        # a study's arms are its trials' affair: the configuration's own is a default that perhaps none of them has
        declared=(_declared(plan) if plan.certify else {}) if alone else own,
        command=command_line(),
        told=told,
        alone=alone,
    )


def summary(record: StudyRecord) -> Summary:
    """The parent run's metrics and tags: the verdict, and beside it what the search came to."""
    conclusion = conclude(record)
    return Summary({**_counts(record), **_scores(record), **_figures(record, conclusion)}, _verdict(record, conclusion))


def _declared(plan: StudyPlan) -> dict[str, str]:
    declared = plan.declaration
    return {
        "certify.ladder": ",".join(map(str, declared.ladder)),
        "certify.seeds": str(declared.seeds),
        "certify.margin": str(declared.margin),
        "certify.margin_of": str(declared.margin_of),
        "certify.alpha": str(declared.alpha),
    }


def _figures(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, float]:
    """The verdict in numbers; what is open is left out."""
    declared = record.certification.declared if record.certification else record.declaration
    found: dict[str, float | None] = {"verdict/margin": declared.margin, "verdict/alpha": declared.alpha}
    if conclusion is not None:
        found |= {
            "verdict/rank": conclusion.rank,
            "verdict/margin_in_loss": conclusion.margin_in_loss,
            "verdict/margin_in_metric": conclusion.margin_in_metric,
        }
        if conclusion.bracket:
            found |= {"verdict/bracket_low": conclusion.bracket[0], "verdict/bracket_high": conclusion.bracket[-1]}
    return {name: float(value) for name, value in found.items() if value is not None}


def _verdict(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, str]:
    """The verdict in words; every tag is there, so that none of an earlier verdict stays."""
    declared = record.certification.declared if record.certification else record.declaration
    reasons = conclusion.reasons if conclusion else tuple(reasons_unjudged(record))
    headline = conclusion.headline if conclusion else "No rank is certified yet."
    return {
        names.VERDICT: conclusion.status if conclusion else "undecided",
        names.VERDICT_RANK: str(conclusion.rank) if conclusion and conclusion.rank is not None else "none",
        names.VERDICT_BRACKET: "..".join(map(str, conclusion.bracket)) if conclusion and conclusion.bracket else "none",
        names.VERDICT_MARGIN_OF: str(declared.margin_of),
        names.VERDICT_HEADLINE: headline,
        names.NOTE: "\n".join([headline, *(f"- {reason}" for reason in reasons)]),
    }


def _counts(record: StudyRecord) -> dict[str, float]:
    found = {f"trials/{status.value}": 0.0 for status in Status}
    for trial in record.trials:
        found[f"trials/{trial.status.value}"] += 1
    found["trials/interrupted"] = float(record.interrupted)
    return found


def _scores(record: StudyRecord) -> dict[str, float]:
    """What the search found on tune, which is not the verdict, and what the unadapted base scores there."""
    found: dict[str, float] = {}
    best = record.best()
    if best is not None:
        found["search/best_rank"] = float(best.rank)
    for name, one in (("search/best_", best), ("base/", record.base)):
        if one is not None:
            found[f"{name}loss"] = one.loss
            if record.metric in one.measures.metrics:
                found[f"{name}{record.metric}"] = one.measures.metrics[record.metric]
    return found


def _flat(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in section.items():
        if not prefix and key in _NOT_A_RECIPE:
            continue
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            pairs.append((f"{prefix}{key}", ",".join(str(entry) for entry in value)))
        elif value is not None:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs
