"""The certify and final stages as stored in the Optuna study: user attributes beside the explored trials.

They are no Optuna trials: no sampler proposed them, and none may learn from their losses, which are on other data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
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
    declaration_from_json,
    to_json,
    trial_result_from_json,
    trial_spec_from_json,
)
from sweep.search.stored_trials import history_to_json
from sweep.store.identity import certification_identity, ladder_identity, recipe_of

_CURRENT = "certify"


class StoredCertification:
    """The stored certification of one recipe in a study.

    A study keeps one for each recipe with a trained ladder, one for each rank that a ladder is cut from, and one for each ladder of
    arms: they answer different questions. One of them is current.

    Args:
        recipe: what is certified; its rank and learning rate do not matter.
        cut_from: the rank that the ladder is cut from; None if every rank is trained.
        of_arms: what is declared about a ladder of arms; None if it is one of ranks.
    """

    def __init__(
        self, study: optuna.Study, recipe: Arm, cut_from: int | None = None, of_arms: Declaration | None = None
    ) -> None:
        self._study = study
        self._recipe = recipe
        self._key = _key_of(study, recipe, cut_from) if of_arms is None else ladder_identity(of_arms)

    @property
    def is_current(self) -> bool:
        """Whether this is the study's current certification."""
        return bool(self._study.user_attrs.get(_CURRENT) == self._key)

    def begin(self, declared: Declaration) -> None:
        """Makes this the current certification. The first declaration stays.

        A new one takes over what another of the same recipe knows of the learning rate of the largest rank, so that what was trained
        with it is used again.
        """
        known = self._study.user_attrs
        if self._name("recipe") not in known and not declared.arms:
            self._take_over_rates(max(declared.ladder))
        # checked one by one: a run that was killed in between has stored only one of them
        for name, value in (("declared", to_json(declared)), ("recipe", to_json(self._recipe))):
            if self._name(name) not in known:
                self._set(name, value)
        self._study.set_user_attr(_CURRENT, self._key)
        self._set("stopped", None)

    def add_trial(self, trial: TrialRecord, tokens: Sequence[int]) -> None:
        """Adds a trial that ended. It replaces an earlier evaluation of the same adapter.

        Args:
            tokens: the completion tokens of each example that was evaluated.
        """
        result = trial.result
        entry = {
            **to_json(result),
            "history": history_to_json(result.history),
            "run_id": trial.run_id,
            "number": trial.number,
            "saved": time.time(),
        }
        if result.spec.split is Split.CERTIFY:
            entry |= {"nats": list(trial.nats), "scores": list(trial.scores)}
            if len(tokens) > len(self._get("tokens", [])):
                self._set("tokens", list(tokens))
        self._set(f"trial/{result.spec.stage.value}/{result.spec.identity}", entry)

    def set_rates(self, choices: Sequence[RateChoice]) -> None:
        """Sets the tuned learning rate of each rank."""
        self._set("rates", [{**to_json(choice), "rank": int(choice.rank)} for choice in choices])

    def add_look(self, seeds: int) -> None:
        """Adds a look: the verdict was computed with this number of seeds."""
        self._set("looks", sorted({*self._get("looks", []), seeds}))

    def raise_examples(self, examples: int) -> None:
        """Sets the number of certify examples that a look used at most; a smaller number than before is ignored."""
        if examples > self._get("examples", 0):
            self._set("examples", examples)

    def plan_examples(self, examples: int) -> None:
        """Sets the number of certify examples that the study has chosen."""
        self._set("planned_examples", examples)

    def add_extension(self, seeds: int, examples: int) -> None:
        """Adds the seeds and examples of the last look, before more examples are evaluated."""
        known = self._get("extended", [])
        if [seeds, examples] not in known:
            self._set("extended", [*known, [seeds, examples]])

    def set_stopped(self, reason: str | None) -> None:
        """Sets why no more seeds are trained."""
        self._set("stopped", reason)

    def _take_over_rates(self, rank: int) -> None:
        """Copies the trials that tuned rates, and then the rank's rate, from another certification that has it."""
        attributes = self._study.user_attrs
        for key in _keys_with(attributes, self._recipe):
            own = f"{_CURRENT}/{key}/"
            choices = [choice for choice in attributes.get(f"{own}rates", []) if choice["rank"] == rank]
            if key == self._key or not choices:
                continue
            for name, value in attributes.items():
                if name.startswith(f"{own}trial/{Stage.RATES.value}/"):
                    self._set(name.removeprefix(own), value)
            self._set("rates", choices)
            return

    def _name(self, name: str) -> str:
        return f"{_CURRENT}/{self._key}/{name}"

    def _get(self, name: str, default: Any) -> Any:
        return self._study.user_attrs.get(self._name(name), default)

    def _set(self, name: str, value: Any) -> None:
        self._study.set_user_attr(self._name(name), value)


def read_certification(study: optuna.Study) -> Certification | None:
    """The study's current certification; None if it has not begun, or only in part."""
    attributes = study.user_attrs
    if _CURRENT not in attributes:
        return None
    prefix = f"{_CURRENT}/{attributes[_CURRENT]}/"
    own = {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}
    if not {"declared", "recipe"} <= own.keys():  # a run was killed in `begin`
        return None
    entries = [entry for name, entry in own.items() if name.startswith("trial/")]
    latest = {_question(entry): entry for entry in sorted(entries, key=lambda entry: entry.get("saved", 0.0))}
    trials = sorted(map(_record, latest.values()), key=lambda trial: (trial.started, trial.number))

    def of(stage: Stage, split: Split) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in trials if trial.spec.stage is stage and trial.spec.split is split)

    base = [trial.evaluated() for trial in of(Stage.BASE, Split.CERTIFY) if trial.is_complete]
    declared = declaration_from_json(own["declared"])
    rungs = {int(rung): rung for rung in declared.ladder}
    return Certification(
        declared=declared,
        recipe=arm_from_json(own["recipe"]),
        rates=tuple(
            RateChoice(
                **{
                    **choice,
                    "rank": rungs.get(choice["rank"], choice["rank"]),
                    "tried": tuple(tuple(pair) for pair in choice["tried"]),
                }
            )
            for choice in own.get("rates", [])
        ),
        tuning=of(Stage.RATES, Split.TUNE),
        tokens=tuple(own.get("tokens", [])),
        base=base[-1] if base else None,
        trials=of(Stage.CERTIFY, Split.CERTIFY),
        confirmed=of(Stage.CONFIRM, Split.CERTIFY),
        looks=tuple(own.get("looks", [])),
        examples=own.get("examples", 0),
        planned_examples=own.get("planned_examples", 0),
        extended=tuple((seeds, examples) for seeds, examples in own.get("extended", [])),
        stopped=own.get("stopped"),
        final=(*of(Stage.BASE, Split.TEST), *of(Stage.FINAL, Split.TEST)),
    )


def is_older_than_cuts(attributes: Mapping[str, Any]) -> bool:
    """Whether the current certification was declared by a version that could only train every rank.

    Args:
        attributes: the user attributes of the Optuna study.
    """
    declared = attributes.get(f"{_CURRENT}/{attributes.get(_CURRENT)}/declared")
    return declared is not None and "ladder_by" not in declared


def _key_of(study: optuna.Study, recipe: Arm, cut_from: int | None) -> str:
    """The key of the stored certification, whichever version made it; a new key if none is stored."""
    attributes = study.user_attrs
    for key in _keys_with(attributes, recipe):
        declared = attributes.get(f"{_CURRENT}/{key}/declared")
        if declared is not None and declaration_from_json(declared).cut_from == cut_from:
            return key
    return certification_identity(recipe, cut_from)


def _keys_with(attributes: Mapping[str, Any], recipe: Arm) -> list[str]:
    """The keys of the recipe's certifications of ranks, the current one first: earlier versions made one for each number of examples."""
    keys = [name.split("/")[1] for name in attributes if name.startswith(f"{_CURRENT}/") and name.endswith("/recipe")]
    keys = [key for key in keys if not attributes.get(f"{_CURRENT}/{key}/declared", {}).get("arms")]
    current = attributes.get(_CURRENT)
    wanted = recipe_of(recipe)
    return [
        key
        for key in sorted(keys, key=lambda key: (key != current, key))
        if recipe_of(arm_from_json(attributes[f"{_CURRENT}/{key}/recipe"])) == wanted
    ]


def _question(entry: dict[str, Any]) -> str:
    """What was trained, and the split it was evaluated on; how it was evaluated does not count."""
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
