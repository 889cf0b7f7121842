"""What a study proposes as ranks of single modules, beside its verdict: `rank_suggestion.json`, words and commands.

It is read off the largest adapter that was trained, before it was cut. What is kept of an update is not what is kept of the loss, and
an adapter that is trained with other ranks is another one: so the proposal is an arm to be tested, not a result.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.console.command_line import pasteable, words_of
from sweep.methods import methods
from sweep.methods.initialization import is_subtracted
from sweep.methods.module_ranks import has_patterns
from sweep.records import CompletedTrial, StudyRecord
from sweep.records.braces import in_braces
from sweep.records.layers import layer_ranges
from sweep.reports.by_method import arm_fields, has_methods
from sweep.reports.rank_suggestion.allocation import Proposal, propose, uniform
from sweep.reports.rank_suggestion.energies import ModuleUpdate, module_updates
from sweep.reports.step import Step
from sweep.store.adapters import AdapterStore
from sweep.store.paths import Paths
from sweep.store.whole_file import replace_text
from sweep.verdict.conclusion import Conclusion, chosen
from sweep.verdict.experiments import with_values

FILE = "rank_suggestion.json"
SCHEMA = 1

SHARES = (0.95, 0.99)
"""Shares of a module's energy for which the rank is recorded."""

KEEPS = 0.99
"""Share of the energy that a proposal keeps where the chosen adapter was not cut, so that fewer parameters are what it gains."""

ALL = 0.999
"""Share at which nothing worth a parameter is left."""

WORTH = 0.85
"""A proposal is made if it loses at most this share of what one rank for all loses, or has at most this share of its parameters."""

_OF_A_SEARCH = ("search.trials", "search.arms", "certify.ladder_by", "certify.confirm", "certify.cost", "lora.alpha")
"""Keys that a ladder of arms has no use for, or whose value the arms name themselves."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The proposal of a study.

    Attributes:
        adapter: identity of the adapter that the singular values are those of.
        trained_rank: its rank.
        chosen_rank: the rank of the adapter that is handed out.
        ranks: by module, the rank that keeps each of `SHARES` of its energy.
        energy: by module, its share of the whole update's energy.
        one_rank: what the proposal is compared with: one rank for all modules, the chosen one where it was cut, else the smallest that
            keeps `KEEPS`.
        proposal: None if it would gain too little.
    """

    adapter: str
    trained_rank: int
    chosen_rank: int
    ranks: Mapping[str, tuple[int, ...]]
    energy: Mapping[str, float]
    one_rank: Proposal
    proposal: Proposal | None

    def words(self) -> str:
        """What is proposed, and what it is worth, in two or three sentences."""
        own, new = self.one_rank, self.proposal
        measured = f"the singular values of the adapter trained at rank {self.trained_rank}"
        if new is None:
            return f"By {measured}, ranks of single modules would gain little over rank {own.rank} for all."
        return (
            f"By {measured}, modules need different ranks: the proposal keeps {100 * new.kept:.1f} % of its update with "
            f"{new.parameters:,} parameters, rank {own.rank} for all keeps {100 * own.kept:.1f} % with {own.parameters:,}. "
            "That is a suggestion: whether the loss agrees has to be tested, with the proposal as an arm."
        )


def suggestion_of(updates: tuple[ModuleUpdate, ...], adapter: str, chosen_rank: int) -> Suggestion:
    """The proposal for an adapter's updates.

    Args:
        chosen_rank: the rank of the adapter that is handed out.
    """
    trained = max(len(update.squares) for update in updates)
    cut = chosen_rank < trained
    whole = (uniform(updates, rank) for rank in range(1, chosen_rank + 1))
    own = (
        uniform(updates, chosen_rank)
        if cut
        else next((each for each in whole if each.kept >= KEEPS), uniform(updates, chosen_rank))
    )
    found = propose(updates, own.parameters, ALL if cut else KEEPS)
    if found is not None:
        gains = 1 - found.kept <= WORTH * (1 - own.kept) if cut else found.parameters <= WORTH * own.parameters
        found = found if gains and found.pattern and found.kept >= min(own.kept, KEEPS) else None
    energy = sum(update.energy for update in updates) or 1.0
    return Suggestion(
        adapter,
        trained,
        chosen_rank,
        {update.name: tuple(update.rank_for(share) for share in SHARES) for update in updates},
        {update.name: update.energy / energy for update in updates},
        own,
        found,
    )


def write_suggestion(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> Suggestion | None:
    """Writes the study's proposal beside its verdict, and returns it; None where there is none to make.

    One that was made for the same adapter and rank is kept, so it outlives the adapter.
    """
    file = paths.report(record.name) / FILE
    found = _source(record, conclusion)
    if found is None:
        file.unlink(missing_ok=True)
        return None
    if (known := read_suggestion(record, conclusion, paths)) is not None:
        return known
    trial, trained = found
    folder = AdapterStore(paths).folder(trained.spec.adapter_id)
    try:
        updates = module_updates(folder)
    except (OSError, ValueError, KeyError):  # deleted, or damaged, which is found when it is handed out
        file.unlink(missing_ok=True)
        return None
    if not updates:
        return None
    suggestion = suggestion_of(updates, trained.spec.adapter_id, trial.rank)
    file.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        "schema": SCHEMA,
        "study": record.name,
        "says": suggestion.words(),
        "commands": [step.command for step in commands(record, trial, suggestion)],
        "shares": list(SHARES),
        **asdict(suggestion),
    }
    replace_text(file, json.dumps(contents, indent=2, allow_nan=False) + "\n")
    return suggestion


def read_suggestion(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> Suggestion | None:
    """The proposal that was written for the adapter that the study hands out; None if there is none."""
    found, file = _source(record, conclusion), paths.report(record.name) / FILE
    if found is None or not file.is_file():
        return None
    trial, trained = found
    try:
        known = _from_json(file)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if (known.adapter, known.chosen_rank) == (trained.spec.adapter_id, trial.rank) else None


def suggestion_steps(record: StudyRecord, conclusion: Conclusion | None, paths: Paths) -> Iterator[Step]:
    """The commands of the proposal that was written for the adapter that the study hands out."""
    trial, suggestion = chosen(record, conclusion), read_suggestion(record, conclusion, paths)
    if trial is not None and suggestion is not None:
        yield from commands(record, trial, suggestion)


def commands(record: StudyRecord, trial: CompletedTrial, suggestion: Suggestion) -> Iterator[Step]:
    """Commands that test a proposal: as an arm of a ladder beside one rank for all, and alone.

    Args:
        trial: whose adapter is handed out.
    """
    proposal, arm = suggestion.proposal, trial.arm
    if proposal is None:
        return
    fields = [
        field for field in arm_fields(arm, methods()[arm.method], record.target_sets) if not field.startswith("r: ")
    ]
    fields += [f"layers: [{layer_ranges(arm.layers)}]"] if arm.layers else []
    pattern = in_braces(proposal.pattern.items())
    arms = [
        f"{{method: {arm.method}, r: {proposal.rank}, rank_pattern: {pattern}, {', '.join(fields)}}}",
        f"{{method: {arm.method}, r: {suggestion.one_rank.rank}, {', '.join(fields)}}}",
    ]
    certify = {"certify": "default"} if "certify=none" in shlex.split(record.command) else {}
    values = {
        "study.name": f"{record.name}-ranks",
        **certify,
        "certify.ladder": f"[{', '.join(arms)}]",
        "certify.cost": "trainable_parameters",
    }
    yield Step(
        pasteable(with_values(_without(record.command), values)),
        "tests ranks of single modules, as its singular values suggest, beside one rank for all",
    )
    alone = {
        "lora.r": str(proposal.rank),
        "lora.rank_pattern": pattern,
        **{_key(field): field.partition(": ")[2] for field in fields},
    }
    single = shlex.join(["python", "-m", "sweep.train", *words_of(_without(record.command))])
    yield Step(pasteable(with_values(single, alone)), "trains one adapter with these ranks")


def _key(field: str) -> str:
    name = field.partition(": ")[0]
    return "train.learning_rate" if name == "learning_rate" else f"lora.{name}"


def _without(command: str) -> str:
    """The command without keys that a ladder of arms has no use for."""
    words = shlex.split(command)
    return shlex.join(word for word in words if word.lstrip("+").partition("=")[0] not in _OF_A_SEARCH)


def _source(record: StudyRecord, conclusion: Conclusion | None) -> tuple[CompletedTrial, CompletedTrial] | None:
    """The trial whose adapter is handed out, and the one whose adapter has all singular values: that which it is cut from."""
    trial = chosen(record, conclusion)
    if trial is None or has_methods(record):
        return None
    method = methods().get(trial.arm.method)
    if method is None or not method.cut or is_subtracted(trial.arm) or has_patterns(trial.arm):
        return None
    if trial.arm.cut_from is None:
        return trial, trial
    certification = record.certification
    whole = certification.complete(trial.arm.cut_from) if certification is not None else []
    parents = [other for other in whole if other.seed == trial.seed and other.arm.cut_from is None]
    return (trial, parents[0]) if parents else None


def _from_json(file: Path) -> Suggestion:
    data = json.loads(file.read_text(encoding="utf-8"))
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']}")
    return Suggestion(
        data["adapter"],
        data["trained_rank"],
        data["chosen_rank"],
        {name: tuple(ranks) for name, ranks in data["ranks"].items()},
        data["energy"],
        Proposal(**data["one_rank"]),
        Proposal(**data["proposal"]) if data["proposal"] else None,
    )
