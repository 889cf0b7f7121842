"""The answer of a study in a few sentences, for terminal, report and verdict.json alike.

A reader who knows LoRA but no statistics should understand each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sweep.records import rung_words
from sweep.verdict import words
from sweep.verdict.conclusion import Finding
from sweep.verdict.figures import are, capitalized, confidence, gain_or_loss, named, nats, percent, points
from sweep.verdict.finding_words import beside_lookup_in, not_gained_in
from sweep.verdict.kinds import Weakness
from sweep.verdict.record import LadderBy, MarginOf, Need, State, Verdict
from sweep.verdict.task_metric import Lookup, NotGained
from sweep.verdict.terms import RANKS, Terms, terms_of

_MANY = 4
"""From this number on, methods are counted instead of named."""


def headline(
    status: str,
    verdict: Verdict | None,
    metric: str,
    margins: tuple[float | None, float | None],
    findings: Sequence[Finding],
    not_gained: NotGained | None,
    lookup: Lookup | None,
    weak: Weakness | None,
    terms: Terms,
    cost: str | None = None,
) -> str:
    """The answer in two to five sentences.

    Args:
        margins: the margin in nats per token and in points of the metric, None where unknown.
        findings: of these, `base_as_good` and `metric_not_gained` come before any rank.
        not_gained: the task metric, if fine-tuning is not shown to have raised it.
        lookup: the nearest training examples' answers, if the adapter is not shown to be better; they follow the first statement.
        weak: the kinds of examples on which the adapter is of little use.
        terms: what the ladder's steps are called.
        cost: of a ladder of arms, what the chosen one costs beside the most expensive one, to follow a comma.
    """
    kinds = {finding.kind for finding in findings}
    sentences = []
    if "base_as_good" in kinds:
        sentences.append("The base model is as good without an adapter, so no fine-tuning is needed here.")
    by_loss_alone = "metric_not_gained" in kinds
    if by_loss_alone and not_gained is not None:
        sentences.append(not_gained_in(metric, not_gained))
    beside = [beside_lookup_in(metric, lookup)] if lookup is not None else []
    if verdict is None:
        sentences = sentences or [words.nothing_certified(terms)]
        return " ".join([*sentences[:1], *beside, *sentences[1:]])
    if verdict.exhausted and verdict.max_forgetting is not None:
        sentences += [words.too_forgetful(verdict.max_forgetting, terms), *_which_forget(verdict)]
    elif status == "undecided" or verdict.rank is None:
        sentences += _what_is_known(verdict)
    else:
        chosen = rung_words(verdict.rank)
        rank = f"By the loss alone, {chosen}" if by_loss_alone else capitalized(chosen)
        provisionally = "" if status == "certified" else ", provisionally"
        little_use = [f"It is of little use on {len(weak.kinds)} of {weak.of} kinds of examples."] if weak else []
        forgets = _forgets_less(verdict)
        sentences += [_answer(verdict, rank, provisionally, metric, cost), *forgets, *little_use, *_below(verdict)]
    sentences = [*sentences[:1], *beside, *sentences[1:]]
    return " ".join([*sentences, *_margin_in_other_units(verdict, metric, *margins)])


def _answer(verdict: Verdict, rank: str, provisionally: str, metric: str, cost: str | None) -> str:
    """The claim, which for a cut ladder is about adapters of the largest rank that are cut."""
    if verdict.ladder_by is LadderBy.TRAIN:
        return f"{rank} is enough{provisionally}. {_what_it_keeps(verdict, metric, cost)}"
    if verdict.rank == verdict.ranks[-1]:
        return f"{rank} is needed whole{provisionally}: {_no_cut_keeps(verdict, metric)}"
    return f"{rank} is enough to ship{provisionally}: {_what_cuts_keep(verdict, metric)}"


def _what_cuts_keep(verdict: Verdict, metric: str) -> str:
    cuts, top = f"adapters cut to rank {verdict.rank}", f"rank {verdict.ranks[-1]}"
    how_sure = f"({confidence(verdict.alpha)} confidence)"
    return {
        MarginOf.GAIN: f"{cuts} keep at least {percent(1 - verdict.margin)} of what {top} gains from fine-tuning {how_sure}.",
        MarginOf.LOSS: f"{cuts} have a loss at most {percent(verdict.margin)} above that of {top} {how_sure}.",
        MarginOf.METRIC: f"{cuts} have a {metric} at most {points(verdict.margin)} below that of {top} {how_sure}.",
    }[verdict.margin_of]


def _no_cut_keeps(verdict: Verdict, metric: str) -> str:
    return {
        MarginOf.GAIN: f"no cut of it is shown to keep {percent(1 - verdict.margin)} of what it gains from fine-tuning.",
        MarginOf.LOSS: f"no cut of it is shown to have a loss at most {percent(verdict.margin)} higher.",
        MarginOf.METRIC: f"no cut of it is shown to have a {metric} at most {points(verdict.margin)} lower.",
    }[verdict.margin_of]


def _what_it_keeps(verdict: Verdict, metric: str, cost: str | None) -> str:
    terms, count = terms_of(verdict.ranks), len(verdict.ranks)
    best = f"the best of {named(verdict.ranks) if terms is RANKS or count < _MANY else f'the {count} {terms.many}'}"
    how_sure = f"({confidence(verdict.alpha)} confidence){f', {cost}' if cost else ''}"
    return {
        MarginOf.GAIN: f"It keeps at least {percent(1 - verdict.margin)} of what {best} gains from fine-tuning {how_sure}.",
        MarginOf.LOSS: f"Its loss is at most {percent(verdict.margin)} above that of {best} {how_sure}.",
        MarginOf.METRIC: f"Its {metric} is at most {points(verdict.margin)} below that of {best} {how_sure}.",
    }[verdict.margin_of]


def _forgets_less(verdict: Verdict) -> list[str]:
    """The second half of the claim, where a limit was declared."""
    shown = next((each.forgetting for each in verdict.ladder if each.rank == verdict.rank), None)
    if shown is None or verdict.max_forgetting is None:
        return []
    return [
        f"It forgets less than {verdict.max_forgetting:g} nats per token on general prose: {shown.rise:+.3f}, at most {shown.upper:+.3f} "
        f"({confidence(verdict.alpha)} confidence)."
    ]


def _which_forget(verdict: Verdict, below: int | None = None) -> list[str]:
    """The ranks that are shown to forget too much, of those below a rank."""
    ranks = _in_state(verdict, State.FORGETS, below)
    least = [each.forgetting.lower for each in verdict.ladder if each.rank in ranks and each.forgetting is not None]
    if not ranks:
        return []
    return [
        f"{capitalized(named(ranks))} forget{'s' if len(ranks) == 1 else ''} too much: at least {min(least):+.3f} nats per token on "
        "general prose."
    ]


def _below(verdict: Verdict) -> list[str]:
    """What is known about the ranks below the chosen one."""
    terms = terms_of(verdict.ranks)
    if verdict.rank == verdict.ranks[0]:
        return [f"It is the {terms.least} {terms.one} of the ladder: {terms.less} ones were not tried."]
    small = _in_state(verdict, State.INFERIOR, below=verdict.rank)
    still_open = _in_state(verdict, State.UNDECIDED, below=verdict.rank)
    low, high = verdict.bracket
    return [
        *([f"{capitalized(named(small))} {are(small)} {terms.too_little}."] if small else []),
        *_which_forget(verdict, below=verdict.rank),
        *(
            [f"Whether {named(still_open)} {are(still_open)} enough is open (bracket {_bracket(low, high)})."]
            if still_open
            else []
        ),
    ]


def _what_is_known(verdict: Verdict) -> list[str]:
    excluded = _in_state(verdict, State.INFERIOR)
    certified = _in_state(verdict, State.CERTIFIED)
    low, high = verdict.bracket
    terms = terms_of(verdict.ranks)
    sentences = [words.nothing_certified(terms)]
    if excluded:
        too_bad = terms.too_little if max(excluded) < low else "not as good as the best"
        sentences.append(
            f"{capitalized(named(excluded))} {are(excluded)} {too_bad} ({confidence(verdict.alpha)} confidence)."
        )
    sentences += _which_forget(verdict)
    if certified:
        sentences.append(f"So far, {named(certified)} {are(certified)} enough.")
    if len(verdict.ranks) > 1:
        sentences.append(
            f"The {terms.least} {terms.one} that is enough is between {low} and {high}."
            if low != high
            else f"Only {rung_words(low)} is left."
        )
    if verdict.needed is not None:
        sentences.append(_needed(verdict, verdict.needed))
    return sentences


def _bracket(low: int, high: int) -> str:
    return f"{low}..{high}" if terms_of([low]) is RANKS else f"{low} to {high}"


def _needed(verdict: Verdict, needed: Need) -> str:
    seeds, parts = verdict.most_seeds, []
    if needed.seeds > seeds:
        parts.append(f"{needed.seeds} seeds per {terms_of(verdict.ranks).one} (now {seeds})")
    if needed.examples > verdict.examples:
        parts.append(f"{needed.examples} certify examples (now {verdict.examples})")
    return f"With {' and '.join(parts)}, it would probably be decided."


def _margin_in_other_units(verdict: Verdict, metric: str, in_loss: float | None, in_metric: float | None) -> list[str]:
    worth = f"about {points(in_metric)} of {metric}" if in_metric is not None else ""
    if verdict.margin_of is MarginOf.METRIC:
        return [f"Here {points(verdict.margin)} of {metric} are about {nats(in_loss)}."] if in_loss is not None else []
    if in_loss is None or not in_loss > 0:
        return []
    return [
        f"Here {percent(verdict.margin)} of {gain_or_loss(verdict.margin_of)} is {nats(in_loss)}{', ' if worth else ''}{worth}."
    ]


def _in_state(verdict: Verdict, state: State, below: int | None = None) -> list[int]:
    return [each.rank for each in verdict.ladder if each.state is state and (below is None or each.rank < below)]
