"""A night as a row of the tables in terminal and page, and a study over its nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.units import show_seconds
from sweep.console.masking import mask_quoted
from sweep.nightly.night import Night, Outcome
from sweep.nightly.standing import Change, Standing, changes, standing
from sweep.nightly.streak import streak


@dataclass(frozen=True, slots=True)
class Row:
    """One night.

    Attributes:
        standing: the study's answer after the night, None if it has none.
        changes: what differs from before the night.
        repeats: whether it failed or was skipped for the same reason as the study's night before it.
    """

    night: Night
    standing: Standing | None
    changes: tuple[Change, ...]
    repeats: bool = False

    @property
    def matters(self) -> bool:
        """Whether the answer, the adapter in use or the data changed, or the night gave no result."""
        failed = self.night.outcome not in (Outcome.DONE, Outcome.UNFINISHED)
        news = self.night.champion_news
        return (
            failed or any(change.matters for change in self.changes) or (news is not None and news.is_another_version)
        )

    @property
    def status(self) -> str:
        return self.standing.status if self.standing else ""

    @property
    def chosen(self) -> str:
        """The chosen rank, or arm's name; else what is in question, in parentheses."""
        if self.standing is None:
            return ""
        if self.standing.rank is None:
            return f"({self.standing.bracket})" if self.standing.bracket else ""
        return self.standing.chosen.removeprefix("rank ")

    @property
    def score(self) -> str:
        return "" if self.standing is None or self.standing.score is None else f"{self.standing.score:.3f}"

    @property
    def loss(self) -> str:
        return "" if self.standing is None or self.standing.loss is None else f"{self.standing.loss:.4f}"

    @property
    def margin(self) -> str:
        return self.standing.margin if self.standing else ""

    @property
    def margin_in_short(self) -> str:
        """Without its worth in nats."""
        return self.margin.partition(" (")[0]

    @property
    def minutes(self) -> str:
        """How long the study ran; empty if it did not."""
        return f"{self.night.seconds / 60:.0f}" if self.night.outcome.ran else ""

    @property
    def reason(self) -> str:
        """Why the study is not done, in one paragraph; empty if it is, or if nothing is known. It is not said twice."""
        if self.repeats:
            return "for the same reason as the night before"
        return "" if self.night.outcome is Outcome.DONE else " ".join(mask_quoted(self.night.reason).split())

    @property
    def words(self) -> str:
        """Why the study is not done, what became of the champion, and what changed in answer or data; figures have columns of their own."""
        news = self.night.champion_news
        champion = " ".join(mask_quoted(news.words).split()) if news is not None else ""
        changed = (change.text for change in self.changes if change.matters)
        return "; ".join(filter(None, [self.reason, champion, *changed]))


@dataclass(frozen=True, slots=True)
class StudyNights:
    """A study over all its nights.

    Attributes:
        rows: in order, the latest last.
    """

    study: str
    rows: Sequence[Row]

    @property
    def latest(self) -> Row:
        return self.rows[-1]

    @property
    def standing(self) -> Standing | None:
        """The latest answer there was."""
        return next((row.standing for row in reversed(self.rows) if row.standing is not None), None)

    @property
    def version(self) -> int:
        """The version of the champion that is in use, as far as nights know; 0 for none."""
        known = (row.night.champion for row in reversed(self.rows))
        return next((each.version for each in known if each is not None), 0)

    @property
    def cost(self) -> str:
        """Time and trials of all nights."""
        seconds = sum(row.night.seconds for row in self.rows)
        trials = sum(row.night.trained for row in self.rows)
        return f"{show_seconds(seconds)}, {trials} trial{'' if trials == 1 else 's'}"


def rows_of(nights: Sequence[Night]) -> list[Row]:
    """The rows of these nights, in the same order."""
    rows: list[Row] = []
    last: dict[tuple[str, str], Night] = {}
    for night in nights:
        before = last.get((night.schedule, night.study))
        repeats = before is not None and streak([before, night]) is not None
        rows.append(Row(night, standing(night.verdict), changes(night.before, night.verdict), repeats))
        last[night.schedule, night.study] = night
    return rows


def by_study(rows: Sequence[Row]) -> list[StudyNights]:
    """The rows by study; the study whose night was last comes first."""
    studies: dict[str, list[Row]] = {}
    for row in rows:
        studies.setdefault(row.night.study, []).append(row)
    latest_first = sorted(studies, key=lambda study: studies[study][-1].night.started, reverse=True)
    return [StudyNights(study, studies[study]) for study in latest_first]
