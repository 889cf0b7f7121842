"""The history of a study's champion: which adapter was in use since when, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ChampionEvent(StrEnum):
    """What an entry of the history records."""

    VERDICT = "verdict"
    """A study's verdict chose the adapter. It begins a new promise: tests are counted from here."""
    PROMOTION = "promotion"
    """A challenger took the champion's place by a test."""
    KEPT = "kept"
    """A challenger was tested, and the champion stayed."""
    UNTESTED = "untested"
    """A challenger was trained, but there were too few certify examples for a test, which costs nothing."""
    ROLLBACK = "rollback"
    """An earlier version was taken into use again, by a person."""


BRINGS_ADAPTER = frozenset({ChampionEvent.VERDICT, ChampionEvent.PROMOTION})


@dataclass(frozen=True, slots=True)
class ChampionEntry:
    """One entry. What it decided is never changed; a later entry may decide otherwise.

    Attributes:
        number: from 1, without gaps.
        created: ISO 8601, UTC.
        version: the version in use since then: the number of the entry that brought its adapter.
        tests: promotion tests since the last verdict, this one included; rollbacks count as tests.
        promotions: how many of them changed the champion.
        reason: in words.
        data_hash: `Splits.data_hash` of the data at that time; of a rollback that of the version taken into use.
        trial: identity of the trial whose adapter the entry is about: the challenger's where one was tested.
        rank: of that adapter.
        recipe: its arm, as `to_json` writes it.
        margin: how much worse a challenger may be on old examples, in nats per token.
        alpha: the chance of any wrong promotion since the last verdict.
        training: the `TrainedAdapter` of that adapter, as `to_json` writes it; empty if it is not known.
        verdict: the study's verdict.json as it stood then; empty if it took no part.
        test: the promotion test in numbers; empty if there was none.
    """

    number: int
    event: ChampionEvent
    created: str
    version: int
    tests: int
    promotions: int
    reason: str
    data_hash: str
    trial: str
    rank: int
    recipe: Mapping[str, Any]
    margin: float
    alpha: float
    training: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] = field(default_factory=dict)

    @property
    def brings_adapter(self) -> bool:
        return self.event in BRINGS_ADAPTER

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)} | {"event": self.event.value}

    @classmethod
    def from_json(cls, plain: object) -> ChampionEntry:
        """From what `to_json` returned; fields of later versions are left out.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        if not isinstance(plain, Mapping):
            raise TypeError(f"an entry is an object, not {type(plain).__name__}")
        known = {each.name for each in dataclasses.fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        return cls(**{**values, "event": ChampionEvent(plain["event"])})
