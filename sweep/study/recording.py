"""What the MLflow run of a sweep says about the study, and when it is opened, closed and completed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sweep.config.task_limits import limits_of
from sweep.console.command_line import command_line
from sweep.console.masking import mask
from sweep.errors import EnvironmentLacks, Interrupted
from sweep.records import Status, StudyPlan, StudyRecord, TrialRecord
from sweep.reports.page.escape import in_markdown
from sweep.search.study import SearchStudy
from sweep.store.paths import Paths
from sweep.store.trials import TrialStore
from sweep.study.champion import champion, registered_name
from sweep.study.champion_recording import ChampionRecording
from sweep.study.data_sets import data_sets
from sweep.study.display import Display
from sweep.study.mlflow_page import experiment_note, last_moment, series
from sweep.tracking import (
    CHAMPION,
    VERDICT,
    KnownResults,
    RecordRefused,
    Summary,
    SweepRun,
    Tracker,
    names,
    open_tracker,
    shown_store,
)
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from sweep.verdict.verdict_json import reasons_unjudged
from tasks import Splits

_EDITION = 2
"""Of what the parent run and the experiment hold. A finished study that an earlier version recorded is described anew, once."""

_IN_THE_FILE = ("model.target_sets.", "model.linear_modules", "model.wheel")
"""Keys that are the same for every study of a model: they are in `config.yaml`, and would only fill the table of runs."""

_NOT_A_RECIPE = ("hydra", "search", "tracking", "storage", "study", "budget", "certify", "executor")


@dataclass
class OpenSweep:
    """The open MLflow run of a sweep.

    Attributes:
        run_id: the parent run of the trials.
        files: what to keep with the run when it is closed.
    """

    run_id: str
    files: Sequence[Path] = ()


@contextmanager
def open_sweep(
    plan: StudyPlan, splits: Splits, study: SearchStudy, tracker: Tracker, store: TrialStore, paths: Paths
) -> Iterator[OpenSweep]:
    """Opens the parent run of a sweep, and closes it with the study's summary and the way in which the block ended."""
    known = trials_by_run(study.record(), store, study.base_on_certify)
    run = sweep_run(plan, study.identity, known, splits=splits)
    champions = champion_recording(plan, splits, paths)
    sweep = OpenSweep(tracker.open_sweep(run))
    state = {"store": shown_store(plan.tracking_uri, paths), "run": sweep.run_id, "edition": _EDITION}
    status, entry = Status.FAILED, None
    try:
        study.set_recording({**state, "open": True})
        study.set_run_page((tracker.link(sweep.run_id) or "").replace(sweep.run_id, "{run}") or None)
        yield sweep
        status = Status.COMPLETE
    except Interrupted:
        status = Status.INTERRUPTED
        raise
    finally:
        record = _record_or_close(study, tracker, sweep.run_id)
        result = summary(record, follows_history=champions.follows_history)
        if status is Status.COMPLETE:
            entry = _register(tracker, sweep.run_id, record, champions, splits, paths)
        closed = tracker.close_sweep(sweep.run_id, status, result, sweep.files)
        study.set_recording({**state, "open": not closed, "tags": dict(result.tags)})
        if closed and entry is not None:
            champions.finish(tracker, entry)


def _record_or_close(study: SearchStudy, tracker: Tracker, run_id: str) -> StudyRecord:
    """The study's record. If its database does not give it any more, the sweep's run is closed without, and says so.

    The study then still knows the run as open, so a later call completes it (`complete_recording`), or opens a run of its own.
    """
    try:
        return study.record()
    except Exception as error:
        reason = error.problems[0] if isinstance(error, EnvironmentLacks) else "its database cannot be read"
        words = f"This sweep has stopped: {mask(reason)}. The same command continues it."
        tracker.close_sweep(run_id, Status.INTERRUPTED, Summary(tags={names.NOTE: words}), ())
        raise


def complete_recording(
    plan: StudyPlan, splits: Splits, study: SearchStudy, paths: Paths, display: Display, files: Sequence[Path]
) -> None:
    """Completes the parent run of a sweep that was killed after its last trial, and updates the verdict in MLflow.

    Opens MLflow only if there is something to do; if the store cannot be reached, leaves it to a later run.
    """
    champions = champion_recording(plan, splits, paths, display.note)
    record = study.record()
    champions.bring_up_to_date(lambda: trials_by_run(record, TrialStore(paths)), alone=True)
    known = study.recording
    if known is None or known["store"] is None or known["store"] != shown_store(plan.tracking_uri, paths):
        return
    result = summary(record, follows_history=champions.follows_history)
    if not known["open"] and known["tags"] == result.tags and known.get("edition") == _EDITION:
        return
    if known.get("tags") and known["tags"] != result.tags:
        result = replace(result, when=time.time())  # of two values of a metric, MLflow shows the later one
    try:
        tracker = open_tracker(plan.tracking_uri, paths, plan.name, display.note)
        ended = trials_by_run(record, TrialStore(paths))
        run = replace(sweep_run(plan, study.identity, ended, splits=splits), system_metrics=False)
        tracker.resume_sweep(known["run"], run)
        _register(tracker, known["run"], record, champions, splits, paths)
        closed = tracker.close_sweep(known["run"], Status.COMPLETE, result, files)
    except RecordRefused:
        closed = True  # someone has deleted the run
    except EnvironmentLacks as error:
        display.note(f"the sweep's MLflow run is not complete yet: {error.problems[0].splitlines()[0]}")
        return
    study.set_recording({**known, "open": not closed, "tags": dict(result.tags), "edition": _EDITION})


def champion_recording(
    plan: StudyPlan, splits: Splits, paths: Paths, say: Callable[[str], None] = lambda text: None
) -> ChampionRecording:
    """How MLflow follows the history of the study's champion."""
    prompt = _example(splits)
    return ChampionRecording(plan.name, plan.config, plan.tracking_uri, paths, prompt=prompt, say=say)


def _example(splits: Splits) -> str | None:
    """The prompt that models of the registry have as an example."""
    return next((example.prompt for example in splits.tune), None)


def _register(
    tracker: Tracker, run_id: str, record: StudyRecord, champions: ChampionRecording, splits: Splits, paths: Paths
) -> int | None:
    """Registers the adapter that the verdict chose, if there is one, and the champion in use; returns its last entry's number.

    Without a history of champions the verdict's adapter is in use.
    """
    followed = champions.follows_history
    own = champion(record, paths, _example(splits), VERDICT if followed else CHAMPION)
    if followed:
        return champions.register(tracker, run_id=run_id, verdict=own)
    if own is not None:
        tracker.register(run_id, own)
    return None


def trials_by_run(record: StudyRecord, store: TrialStore, base_ahead: TrialRecord | None = None) -> KnownResults:
    """The results and files of the study's trials, by MLflow run; by identity those that ended before the store had given them one.

    Args:
        base_ahead: the base on certify that no certification has taken over yet (`SearchStudy.base_on_certify`).
    """
    trials = [*record.all_trials(), *([base_ahead] if base_ahead is not None else [])]
    return {trial.run_id or trial.identity: (trial.result, store.artifacts(trial.result)) for trial in trials}


def sweep_run(
    plan: StudyPlan, identity: str, ended: KnownResults, *, alone: bool = True, splits: Splits | None = None
) -> SweepRun:
    """The parent run of a sweep.

    Args:
        splits: the data; None where only workers read it.
        ended: the trials that the study knows, see `trials_by_run`.
        alone: True for a study, which only one process sweeps; False for a single trial.
    """
    given = _flat(yaml.safe_load(plan.config))
    params = {key: value for key, value in given if not key.startswith(_IN_THE_FILE)}
    if plan.methods:  # each trial has its own
        params.pop("method.name", None)
    own = {key: value for key, value in params.items() if names.is_of_arm(key)}
    return SweepRun(
        study=plan.name,
        config_yaml=plan.config,
        tags={"sweep.identity": identity, "sweep.engine": plan.setup.engine},
        params={key: value for key, value in params.items() if key not in own},
        # the trials of a study have arms of their own; none of them may have the configuration's arm
        declared=(_declared(plan) if plan.certify else {}) if alone else own,
        command=command_line(),
        known_results=ended,
        alone=alone,
        data_sets=data_sets(plan, splits) if splits is not None else (),
        system_metrics=plan.system_metrics,
    )


def summary(record: StudyRecord, *, follows_history: bool = False) -> Summary:
    """The parent run's metrics and tags: the verdict, and the results of the search.

    Args:
        follows_history: whether another adapter than the verdict's may be in use (`ChampionRecording.follows_history`).
    """
    conclusion = conclude(record)
    decided = conclusion is not None and conclusion.rank is not None
    return Summary(
        {**_counts(record), **_scores(record), **_figures(record, conclusion)},
        _verdict(record, conclusion),
        series(record, conclusion),
        last_moment(record),
        experiment_note(
            record, conclusion, registered_name(record.name) if decided else None, follows_history=follows_history
        ),
        record.metric,
    )


def _declared(plan: StudyPlan) -> dict[str, str]:
    declared = plan.declaration
    return {
        "certify.ladder": ("; " if declared.arms else ",").join(map(str, declared.ladder)),
        **({"certify.cost": declared.cost} if declared.arms else {}),
        "certify.seeds": str(declared.seeds),
        "certify.margin": str(declared.margin),
        "certify.margin_of": str(declared.margin_of),
        "certify.alpha": str(declared.alpha),
        "certify.ladder_by": declared.ladder_by,
        **({} if declared.max_forgetting is None else {"certify.max_forgetting": str(declared.max_forgetting)}),
    }


def _figures(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, float]:
    """The verdict in numbers, without those that are undecided."""
    declared = record.certification.declared if record.certification else record.declaration
    figures: dict[str, float | None] = {"verdict/margin": declared.margin, "verdict/alpha": declared.alpha}
    if conclusion is not None:
        figures |= {
            "verdict/rank": conclusion.rank,
            "verdict/margin_in_loss": conclusion.margin_in_loss,
            "verdict/margin_in_metric": conclusion.margin_in_metric,
            "verdict/hands_out": conclusion.hands_out,
        }
        if (confirmed := conclusion.confirmation) is not None:
            figures |= {
                "verdict/confirmation/loss": confirmed.trained,
                "verdict/confirmation/difference": confirmed.difference,
            }
        if conclusion.bracket:
            figures |= {"verdict/bracket_low": conclusion.bracket[0], "verdict/bracket_high": conclusion.bracket[-1]}
    return {name: float(value) for name, value in figures.items() if value is not None}


def _verdict(record: StudyRecord, conclusion: Conclusion | None) -> dict[str, str]:
    """The verdict in words. Every tag is set, so that no tag of an earlier verdict stays."""
    declared = record.certification.declared if record.certification else record.declaration
    reasons = conclusion.reasons if conclusion else tuple(reasons_unjudged(record))
    headline = conclusion.headline if conclusion else "No rank is certified yet."
    limits = limits_of(record)
    note = [headline, *(f"- {reason}" for reason in reasons), *([f"Limits: {limits}"] if limits else [])]
    return {
        names.VERDICT: conclusion.status if conclusion else "undecided",
        names.VERDICT_RANK: str(conclusion.rank) if conclusion and conclusion.rank is not None else "none",
        names.VERDICT_BRACKET: "..".join(map(str, conclusion.bracket)) if conclusion and conclusion.bracket else "none",
        names.VERDICT_FINDINGS: ", ".join(each.kind for each in conclusion.findings) or "none"
        if conclusion
        else "none",
        names.VERDICT_MARGIN_OF: str(declared.margin_of),
        names.VERDICT_LADDER_BY: declared.ladder_by,
        names.VERDICT_HEADLINE: headline,
        names.NOTE: "\n".join(map(in_markdown, note)),
    }


def _counts(record: StudyRecord) -> dict[str, float]:
    counts = {f"trials/{status.value}": 0.0 for status in Status}
    for trial in record.trials:
        counts[f"trials/{trial.status.value}"] += 1
    counts["trials/interrupted"] = float(record.interrupted)
    return counts


def _scores(record: StudyRecord) -> dict[str, float]:
    """The best loss and metric of the search on tune, and those of the base. They are not the verdict."""
    scores: dict[str, float] = {}
    best = record.best()
    if best is not None:
        scores["search/best_rank"] = float(best.rank)
    for name, trial in (("search/best_", best), ("base/", record.base)):
        if trial is not None:
            scores[f"{name}loss"] = trial.loss
            if (metric := trial.metric(record.metric)) is not None:
                scores[f"{name}{record.metric}"] = metric
    return scores


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
