"""A verdict on losses with a limit of forgetting: a rank is certified if both tests certify it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.records import Certification, rung_words
from sweep.records.evaluation import LEAST_PARAGRAPHS, PARAGRAPHS
from sweep.verdict.bounds import Array
from sweep.verdict.figures import are, capitalized, named
from sweep.verdict.forgetting import ForgettingTest, judge_forgetting
from sweep.verdict.ladder import LadderData, in_order
from sweep.verdict.record import EXCLUDED, Limited, Need, RankVerdict, State, Verdict
from sweep.verdict.terms import terms_of

KEY = "certify.max_forgetting"

_DECIDED = "More seeds or examples would not change that; another recipe would."


@dataclass(frozen=True, slots=True)
class ProseRises:
    """The rises of the loss on general prose that the test is computed on.

    Attributes:
        ranks: for each rank of the ladder (seeds, paragraphs), nats per token.
        tokens: (paragraphs,), the tokens of each.
    """

    ranks: tuple[Array, ...]
    tokens: Array


def prose_rises(certification: Certification, data: LadderData) -> ProseRises | None:
    """Those of the ladder's trials; None if a trial has none, or all share fewer than `LEAST_PARAGRAPHS`."""
    trials = [in_order(certification, rank, data.reference) for rank in data.ranks]
    each = [trial.measures.prose_rises for of_rank in trials for trial in of_rank]
    count = min(map(len, each), default=0)
    # the paragraphs are the first ones of one list, so trials that were evaluated on fewer of them share those
    shared = {tuple(tokens for _, tokens in rises[:count]) for rises in each}
    if count < LEAST_PARAGRAPHS or len(shared) > 1:
        return None
    tokens = np.array(shared.pop(), dtype=np.float64)
    tables = (np.array([[nats for nats, _ in trial.measures.prose_rises[:count]] for trial in of]) for of in trials)
    return ProseRises(tuple(table.reshape(-1, count) / tokens for table in tables), tokens)


def limited(
    verdict: Verdict, rises: ProseRises, looks: Sequence[int], limit: float, most_seeds: int | None = None
) -> Verdict:
    """The verdict on the losses with the condition that a certified rank stays below a limit of forgetting.

    Args:
        verdict: on the losses alone, at its own alpha.
        looks: all numbers of seeds at which the verdict was computed; the losses may have been decided before the last.
        limit: nats per token.
        most_seeds: see `judge_looks`.
    """
    test = judge_forgetting(rises.ranks, rises.tokens, looks, limit=limit, alpha=verdict.alpha)
    passes = test.passes([rung.state is State.INFERIOR for rung in verdict.ladder])
    ladder = tuple(
        _joined(rung, own.shown.state, passed=passed, test=test, place=place)
        for place, (rung, own, passed) in enumerate(zip(verdict.ladder, test.ranks, passes, strict=True))
    )
    certified = [rung.rank for rung in ladder if rung.state is State.CERTIFIED]
    possible = [rung.rank for rung in ladder if rung.state not in EXCLUDED]
    rank = certified[0] if certified else None
    blocking = _blocking(ladder, test)
    seeds = test.seeds_needed(blocking) if blocking is not None else None
    hands_out = verdict.hands_out if verdict.hands_out in certified else rank
    joined = replace(
        verdict,
        status=State.CERTIFIED if certified else State.UNDECIDED,
        rank=rank,
        bracket=(possible[0] if possible else verdict.ranks[-1], rank if rank is not None else verdict.ranks[-1]),
        ladder=ladder,
        needed=_needed(verdict, blocking, seeds),
        seeds_needed=verdict.seeds_needed if blocking is None else seeds,
        reasons=(*verdict.reasons, *_reasons(ladder, test, blocking, seeds)),
        hands_out=hands_out,
        futile=_futile(verdict, ladder, test, blocking, most_seeds),
        max_forgetting=limit,
        on_loss=verdict,
    )
    if not joined.closed:
        return joined
    # the losses may leave open a rank that forgets too much
    decided = () if possible else (_DECIDED,)
    return replace(joined, needed=None, seeds_needed=None, examples_needed=None, reasons=decided, futile=None)


def _joined(rung: RankVerdict, forgets: Limited, *, passed: bool, test: ForgettingTest, place: int) -> RankVerdict:
    """What both tests say of a rank."""
    state = rung.state
    if state is not State.INFERIOR and forgets is Limited.ABOVE:
        state = State.FORGETS
    elif state is State.CERTIFIED and not passed:
        state = State.UNDECIDED
    return replace(rung, state=state, forgetting=test.ranks[place].shown)


def _blocking(ladder: Sequence[RankVerdict], test: ForgettingTest) -> int | None:
    """The place of the rank whose forgetting is open and keeps a rank from being the answer; None if there is none.

    It is the first at which the sequence upward ends, if a rank below the smallest certified one waits for it.
    """
    answer = next((place for place, rung in enumerate(ladder) if rung.state is State.CERTIFIED), len(ladder))
    for place, rung in enumerate(ladder[:answer]):
        if rung.state not in EXCLUDED and test.ranks[place].shown.state is Limited.OPEN:
            return place
    return None


def _needed(verdict: Verdict, blocking: int | None, seeds: int | None) -> Need | None:
    """What would probably decide both; None if one of them cannot be decided."""
    if blocking is None:
        return verdict.needed
    if seeds is None or (verdict.needed is None and not verdict.closed):
        return None
    of_losses = verdict.needed or Need(0, verdict.examples)
    return Need(max(seeds, of_losses.seeds), of_losses.examples)


def _futile(
    verdict: Verdict, ladder: Sequence[RankVerdict], test: ForgettingTest, blocking: int | None, most_seeds: int | None
) -> str | None:
    """Why more seeds should not be trained: neither the losses nor the forgetting would be decided."""
    if blocking is None or (verdict.futile is None and not verdict.closed):
        return verdict.futile
    estimate = test.ranks[blocking].estimate
    if most_seeds is None or estimate is None or most_seeds <= estimate.seeds or test.may_decide(blocking, most_seeds):
        return None
    rank = rung_words(ladder[blocking].rank)
    return f"The seeds that certify.seeds allows would probably not decide how much {rank} forgets: not trained."


def _reasons(
    ladder: Sequence[RankVerdict], test: ForgettingTest, blocking: int | None, seeds: int | None
) -> Iterator[str]:
    """Why the forgetting keeps the bracket open, in sentences."""
    if blocking is None:
        return
    shown, rank, terms = test.ranks[blocking].shown, ladder[blocking].rank, terms_of([rung.rank for rung in ladder])
    yield (
        f"{capitalized(rung_words(rank))} forgets about {shown.rise:+.3f} nats per token on general prose and may forget "
        f"{shown.upper:+.3f} (upper bound); the limit is {test.limit:g} ({KEY})."
    )
    waiting = [
        rung.rank
        for rung, own in zip(ladder, test.ranks, strict=True)
        if rung.state is State.UNDECIDED and own.shown.state is Limited.BELOW and rung.rank > rank
    ]
    if waiting:
        yield f"{capitalized(named(waiting))} {are(waiting)} certified only after {rung_words(rank)}."
    if seeds is not None:
        more = seeds - shown.seeds
        yield f"{more} more seed{'s' if more > 1 else ''} ({seeds} in total) would probably decide whether it stays below the limit."
    else:
        yield _beyond_seeds(test, terms.one)


def _beyond_seeds(test: ForgettingTest, one: str) -> str:
    """No number of seeds would decide it."""
    text = f"More seeds would probably not decide it: with {test.paragraphs} paragraphs alone the error is too large"
    if test.paragraphs >= PARAGRAPHS:
        return f"{text}, and there are no more; declare another limit in a study of another name, or a {one} that forgets less."
    return f"{text}. In a study of another name, declare evaluate.general_paragraphs={PARAGRAPHS} from the start."
