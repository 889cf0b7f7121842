"""Where a study stands, and what changed: read from the contents of verdict.json.

Verdicts of other versions may lack keys, and a ledger holds those of many versions: what is missing is None, never an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.verdict.figures import capitalized, gain_or_loss, nats, percent, points
from sweep.verdict.record import MarginOf

_SHOWN_HASH = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """A study's answer at one moment.

    Attributes:
        status: `certified`, `provisional` or `undecided`.
        rank: the chosen rank, or place in a ladder of arms; None if none is chosen.
        chosen: the same in words, `rank 8` or an arm's name; empty if none is chosen.
        bracket: the smallest rank not excluded and the largest in question, in words; empty if that is no range.
        margin: the declared margin in words; empty if unknown.
        loss: the loss on certify of the rank whose adapter is handed out, in nats per token; None if nothing was certified.
        metric: the name of the task metric.
        score: that metric on test of the adapter that is handed out, None before the test stage.
        base_score: likewise of the unadapted base.
        seeds: the most seeds of a rank.
        headline: the answer in sentences; empty if nothing was certified.
        reasons: why it is not final.
        settle: the command that would settle what is open, and its seconds; None if nothing is open.
        failed: how many trials have failed so far.
        data: the hash of the data.
        recipe: the hash of what all trials share, the search space included.
    """

    status: str
    rank: int | None
    chosen: str
    bracket: str
    margin: str
    loss: float | None
    metric: str
    score: float | None
    base_score: float | None
    seeds: int
    headline: str
    reasons: tuple[str, ...]
    settle: tuple[str, float] | None
    failed: int
    data: str
    recipe: str

    @property
    def words(self) -> str:
        """`certified, rank 8`, or the status alone."""
        return ", ".join(filter(None, (self.status, self.chosen)))


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two nights.

    Attributes:
        text: the difference in a few words.
        matters: whether the answer or the data differ, and not only a figure.
    """

    text: str
    matters: bool


def standing(verdict: Mapping[str, Any] | None) -> Standing | None:
    """Where a study stands; None without a verdict."""
    if verdict is None:
        return None
    rank = _integer(verdict.get("rank"))
    rows = [row for row in _list(verdict.get("ladder")) if isinstance(row, Mapping)]
    handed_out = next((row for row in rows if row.get("rank") == verdict.get("hands_out")), {})
    metric = str(verdict.get("primary_metric") or "metric")
    headline = str(verdict.get("headline") or "")
    settle = _mapping(verdict.get("settle"))
    return Standing(
        status=str(verdict.get("status") or "undecided"),
        rank=rank,
        chosen="" if rank is None else str(verdict.get("arm") or f"rank {rank}"),
        bracket=_bracket(_list(verdict.get("bracket")), {str(row.get("rank")): row.get("arm") for row in rows}),
        margin=_margin(verdict, metric),
        loss=_number(handed_out.get("loss")) if headline else None,
        metric=metric,
        score=_score(verdict, "goldilocks", metric),
        base_score=_score(verdict, "base", metric),
        seeds=max((_integer(row.get("seeds")) or 0 for row in rows), default=0),
        headline=headline,
        reasons=tuple(map(str, _list(verdict.get("reasons")))),
        settle=(str(settle["command"]), _number(settle.get("seconds")) or 0.0) if settle.get("command") else None,
        failed=_integer(_mapping(verdict.get("trials")).get("failed")) or 0,
        data=str(verdict.get("data_hash") or ""),
        recipe=str(verdict.get("config_hash") or ""),
    )


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[Change, ...]:
    """What differs between the verdict before a night and the one after it, what matters first; empty if nothing does."""
    earlier, later = standing(before), standing(after)
    if later is None:
        return () if earlier is None else (Change("The verdict is gone", matters=True),)
    if earlier is None:
        return (Change(f"First result: {later.words}", matters=True),)
    return (*_answers(earlier, later), *_figures(earlier, later))


def _answers(earlier: Standing, later: Standing) -> Iterator[Change]:
    if later.data != earlier.data:
        hashes = f"{_short(later.data)}, before {_short(earlier.data)}"
        yield Change(f"The data changed (hash {hashes}), so losses and scores do not compare", matters=True)
    if later.recipe != earlier.recipe and later.data == earlier.data:
        yield Change("The settings changed, so this is another study under the same name", matters=True)
    if later.status != earlier.status:
        yield Change(f"{capitalized(later.status)}, before {earlier.status}", matters=True)
    if later.chosen != earlier.chosen:
        chosen, before = later.chosen or "no rank", earlier.chosen or "no rank"
        yield Change(f"Chosen is {chosen}, before {before}", matters=True)


def _figures(earlier: Standing, later: Standing) -> Iterator[Change]:
    if later.bracket != earlier.bracket:
        yield Change(f"In question: {later.bracket or 'nothing'}, before {earlier.bracket or 'nothing'}", matters=False)
    if later.margin != earlier.margin:
        yield Change(f"Margin {later.margin or 'unknown'}, before {earlier.margin or 'unknown'}", matters=True)
    for name, value, before, digits in (
        (f"{later.metric} on test", later.score, earlier.score, 3),
        ("Loss on certify", later.loss, earlier.loss, 4),
    ):
        if value is not None and before is None:
            yield Change(f"{name} {value:.{digits}f}, before unknown", matters=False)
        elif value is not None and before is not None and round(value, digits) != round(before, digits):
            yield Change(
                f"{name} {value:.{digits}f}, before {before:.{digits}f} ({value - before:+.{digits}f})", matters=False
            )
    if later.seeds != earlier.seeds:
        yield Change(f"Seeds per rank {later.seeds}, before {earlier.seeds}", matters=False)


def _bracket(ranks: Sequence[Any], arms: Mapping[str, Any]) -> str:
    names = dict.fromkeys(str(arms.get(str(rank)) or rank) for rank in ranks)
    return " to ".join(names) if len(names) > 1 else ""


def _margin(verdict: Mapping[str, Any], metric: str) -> str:
    margin, of = _number(verdict.get("margin")), verdict.get("margin_of")
    if margin is None or of is None:
        return ""
    if of == MarginOf.METRIC:
        return f"{points(margin)} of {metric}"
    worth = _number(verdict.get("margin_in_loss"))
    return f"{percent(margin)} of {gain_or_loss(str(of))}" + (f" ({nats(worth)})" if worth is not None else "")


def _score(verdict: Mapping[str, Any], who: str, metric: str) -> float | None:
    return _number(_mapping(_mapping(_mapping(verdict.get("test")).get(who)).get("metrics")).get(metric))


def _short(digest: str) -> str:
    return digest[:_SHOWN_HASH] or "unknown"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
