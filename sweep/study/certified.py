"""The certify and final stages as the Optuna study remembers them: user attributes beside the explored trials.

Nothing of them is an Optuna trial: no sampler chose them, and none may learn from their losses, which are on other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from sweep.records import (
    Arm,
    Certification,
    Declaration,
    RateChoice,
    ScoredTrial,
    Split,
    Stage,
    Status,
    TrialRecord,
    arm_from_json,
    to_json,
    trial_result_from_json,
)
from sweep.study.histories import thinned

_CURRENT = "certify"


class CertifiedTrials:
    """The certification of one study and recipe. Another recipe's, or one with other examples, is kept beside it.

    Args:
        key: the identity of what the certification is about, see `sweep.plan.identity.certification_identity`.
    """

    def __init__(self, study: optuna.Study, key: str) -> None:
        self._study = study
        self._prefix = f"{_CURRENT}/{key}/"
        self._key = key

    def begin(self, declared: Declaration, recipe: Arm) -> None:
        """Makes this the study's certification; what was declared the first time stays."""
        known = self._study.user_attrs
        # each on its own: a call that was killed between the two has left only one of them
        for name, value in (("declared", to_json(declared)), ("recipe", to_json(recipe))):
            if f"{self._prefix}{name}" not in known:
                self._set(name, value)
        self._study.set_user_attr(_CURRENT, self._key)
        self._set("stopped", None)

    def add(self, record: TrialRecord, nats: Sequence[float], tokens: Sequence[int], scores: Sequence[float]) -> None:
        """Remembers a trial that ended, with every example's figures."""
        result = record.result
        entry = {
            **to_json(result),
            "history": thinned(result.history),
            "run_id": record.run_id,
            "number": record.number,
        }
        if result.spec.split is Split.CERTIFY:
            entry |= {"nats": list(nats), "scores": list(scores)}
            if result.spec.arm is None:
                self._set("tokens", list(tokens))
        self._set(f"trial/{result.spec.stage.value}/{result.spec.identity}", entry)

    def set_rates(self, choices: Sequence[RateChoice]) -> None:
        """Fixes the rates that ranks are judged with."""
        self._set("rates", [to_json(choice) for choice in choices])

    def add_look(self, seeds: int) -> None:
        """Remembers that the verdict was computed with so many seeds."""
        looks = self._study.user_attrs.get(f"{self._prefix}looks", [])
        self._set("looks", sorted({*looks, seeds}))

    def stop(self, reason: str | None) -> None:
        """Remembers why no more seeds are added."""
        self._set("stopped", reason)

    def _set(self, name: str, value: Any) -> None:
        self._study.set_user_attr(f"{self._prefix}{name}", value)


def certification_of(study: optuna.Study) -> Certification | None:
    """The study's current certification; None before it has begun as a whole."""
    attributes = study.user_attrs
    if _CURRENT not in attributes:
        return None
    prefix = f"{_CURRENT}/{attributes[_CURRENT]}/"
    own = {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}
    if not {"declared", "recipe"} <= own.keys():  # a call was killed while it began
        return None
    trials = sorted(
        (_scored(entry) for name, entry in own.items() if name.startswith("trial/")),
        key=lambda scored: (scored.trial.result.started, scored.trial.number),
    )

    def of(stage: Stage, split: Split) -> tuple[ScoredTrial, ...]:
        return tuple(
            scored
            for scored in trials
            if scored.trial.result.spec.stage is stage and scored.trial.result.spec.split is split
        )

    base = [scored for scored in of(Stage.BASE, Split.CERTIFY) if scored.trial.result.status is Status.COMPLETE]
    return Certification(
        declared=Declaration(**{**own["declared"], "ladder": tuple(own["declared"]["ladder"])}),
        recipe=arm_from_json(own["recipe"]),
        rates=tuple(
            RateChoice(**{**choice, "tried": tuple(tuple(pair) for pair in choice["tried"])})
            for choice in own.get("rates", [])
        ),
        tuning=tuple(scored.trial for scored in of(Stage.RATES, Split.TUNE)),
        tokens=tuple(own.get("tokens", [])),
        base=base[-1] if base else None,
        trials=of(Stage.CERTIFY, Split.CERTIFY),
        looks=tuple(own.get("looks", [])),
        stopped=own.get("stopped"),
        final=tuple(scored.trial for scored in (*of(Stage.BASE, Split.TEST), *of(Stage.FINAL, Split.TEST))),
    )


def _scored(entry: dict[str, Any]) -> ScoredTrial:
    trial = TrialRecord(entry["number"], trial_result_from_json(entry), entry["run_id"])
    return ScoredTrial(trial, tuple(entry.get("nats", [])), tuple(entry.get("scores", [])))
