"""The certify and final stages as the Optuna study remembers them: user attributes beside the explored trials.

Nothing of them is an Optuna trial: no sampler chose them, and none may learn from their losses, which are on other data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import optuna

from sweep.records import (
    Arm,
    Certification,
    Declaration,
    RateChoice,
    Split,
    Stage,
    TrialRecord,
    arm_from_json,
    to_json,
    trial_result_from_json,
    trial_spec_from_json,
)
from sweep.search.histories import thinned
from sweep.store.identity import certification_identity, recipe_of

_CURRENT = "certify"


class CertifiedTrials:
    """The certification of one study and recipe. Another recipe's is kept beside it.

    Args:
        recipe: what the certification is about; rank and learning rate do not count.
    """

    def __init__(self, study: optuna.Study, recipe: Arm) -> None:
        self._study = study
        key = key_of(study, recipe)
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

    def rest_on(self, examples: int) -> None:
        """Remembers that a look was taken with at most this many certify examples; a smaller number is ignored."""
        if examples > self._study.user_attrs.get(f"{self._prefix}examples", 0):
            self._set("examples", examples)

    def extend(self, seeds: int, examples: int) -> None:
        """Remembers how many seeds and examples the last look had, before examples are added."""
        known = self._study.user_attrs.get(f"{self._prefix}extended", [])
        if [seeds, examples] not in known:
            self._set("extended", [*known, [seeds, examples]])

    @property
    def is_current(self) -> bool:
        """Whether this is the study's certification."""
        return bool(self._study.user_attrs.get(_CURRENT) == self._key)

    def add(self, record: TrialRecord, nats: Sequence[float], tokens: Sequence[int], scores: Sequence[float]) -> None:
        """Remembers a trial that ended, with every example's figures. One that is scored anew takes the place of the earlier."""
        result = record.result
        entry = {
            **to_json(result),
            "history": thinned(result.history),
            "run_id": record.run_id,
            "number": record.number,
            "saved": time.time(),
        }
        if result.spec.split is Split.CERTIFY:
            entry |= {"nats": list(nats), "scores": list(scores)}
            if len(tokens) > len(self._study.user_attrs.get(f"{self._prefix}tokens", [])):
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


def key_of(study: optuna.Study, recipe: Arm) -> str:
    """The key of a recipe's certification: of the one that there is, whatever version made it, else a new one."""
    attributes = study.user_attrs
    keys = [name.split("/")[1] for name in attributes if name.startswith(f"{_CURRENT}/") and name.endswith("/recipe")]
    current = attributes.get(_CURRENT)
    # the study's own first: earlier versions made another one for each number of examples
    for key in sorted(keys, key=lambda key: (key != current, key)):
        if recipe_of(arm_from_json(attributes[f"{_CURRENT}/{key}/recipe"])) == recipe_of(recipe):
            return key
    return certification_identity(recipe)


def certification_of(study: optuna.Study) -> Certification | None:
    """The study's current certification; None before it has begun as a whole."""
    attributes = study.user_attrs
    if _CURRENT not in attributes:
        return None
    prefix = f"{_CURRENT}/{attributes[_CURRENT]}/"
    own = {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}
    if not {"declared", "recipe"} <= own.keys():  # a call was killed while it began
        return None
    entries = [entry for name, entry in own.items() if name.startswith("trial/")]
    latest = {_question(entry): entry for entry in sorted(entries, key=lambda entry: entry.get("saved", 0.0))}
    trials = sorted(map(_record, latest.values()), key=lambda trial: (trial.started, trial.number))

    def of(stage: Stage, split: Split) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in trials if trial.spec.stage is stage and trial.spec.split is split)

    base = [trial.evaluated() for trial in of(Stage.BASE, Split.CERTIFY) if trial.is_complete]
    return Certification(
        declared=Declaration(**{**own["declared"], "ladder": tuple(own["declared"]["ladder"])}),
        recipe=arm_from_json(own["recipe"]),
        rates=tuple(
            RateChoice(**{**choice, "tried": tuple(tuple(pair) for pair in choice["tried"])})
            for choice in own.get("rates", [])
        ),
        tuning=of(Stage.RATES, Split.TUNE),
        tokens=tuple(own.get("tokens", [])),
        base=base[-1] if base else None,
        trials=of(Stage.CERTIFY, Split.CERTIFY),
        looks=tuple(own.get("looks", [])),
        examples=own.get("examples", 0),
        extended=tuple((seeds, examples) for seeds, examples in own.get("extended", [])),
        stopped=own.get("stopped"),
        final=(*of(Stage.BASE, Split.TEST), *of(Stage.FINAL, Split.TEST)),
    )


def _question(entry: dict[str, Any]) -> str:
    """What was trained and which split it was scored on; how it was scored does not count."""
    spec = trial_spec_from_json(entry["spec"])
    return json.dumps([spec.stage, spec.split, to_json(spec.arm) if spec.arm else None, spec.seed], sort_keys=True)


def _record(entry: dict[str, Any]) -> TrialRecord:
    return TrialRecord(
        number=entry["number"],
        result=trial_result_from_json(entry),
        run_id=entry["run_id"],
        nats=tuple(entry.get("nats", [])),
        scores=tuple(entry.get("scores", [])),
    )
