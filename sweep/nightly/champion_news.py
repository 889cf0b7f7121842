"""What a night of data that change found and did: how good the champion is, and which version is in use."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ChampionNews:
    """The champion after a night.

    Attributes:
        version: the version in use; 0 while there is none.
        condition: what the night found on changed data: `good`, `worse` or `unclear`; empty if it did not get that far, or nothing changed.
        change: what differs from the data that the champion was judged on, in words; empty with `condition`.
        event: the result, a `ChampionEvent`: `verdict`, `promotion`, `kept` or `untested`; empty if there was none.
        reason: of that event, in words.
    """

    version: int
    condition: str = ""
    change: str = ""
    event: str = ""
    reason: str = ""

    @property
    def is_news(self) -> bool:
        """Whether the night looked at changed data, or changed what is in use."""
        return bool(self.condition or self.event)

    @property
    def is_another_version(self) -> bool:
        """Whether the night took another adapter into use."""
        return self.event in ("verdict", "promotion")

    def after(self, earlier: ChampionNews | None) -> ChampionNews:
        """This, or what an earlier part of the same night found, if there has been no news since."""
        return replace(earlier, version=self.version) if earlier is not None and not self.is_news else self

    @property
    def words(self) -> str:
        """In a sentence without its end."""
        if not self.version and not self.is_news:
            return "no adapter is in use yet"
        in_use = f"version {self.version} is in use"
        if not self.is_news:
            return f"nothing new to decide, {in_use}"
        found = f"the champion is {self.condition} on the changed data ({self.change})" if self.condition else ""
        came = f"{self.event}, {in_use}: {self.reason}" if self.event else in_use
        return "; ".join(filter(None, (found, came)))


@dataclass(frozen=True, slots=True)
class ChampionCounts:
    """How much is recorded of a study's champion.

    Attributes:
        entries: of its history.
        points: of its drift.
        steps: of its runs of `refresh`.
    """

    entries: int = 0
    points: int = 0
    steps: int = 0
