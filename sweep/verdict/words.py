"""The words of the verdict: every sentence of a study's answer, for terminal, report and verdict.json alike.

A reader who knows LoRA but no statistics should understand each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sweep.records import Declaration
from sweep.verdict.conclusion import Finding
from sweep.verdict.confirmation import Confirmation
from sweep.verdict.figures import confidence, figure, named, nats, percent, points
from sweep.verdict.guards import Edge, Flip
from sweep.verdict.kinds import KindScore, Weakness
from sweep.verdict.ladder import LeftOut
from sweep.verdict.record import LadderBy, MarginOf, Need, State, Verdict
from sweep.verdict.task_metric import NotGained

NOTHING_CERTIFIED = "No rank is certified yet."
ONE_SEED = "Every recipe was trained with one seed, so a difference between ranks can be chance."
NOT_TUNED = "The learning rate was not tuned per rank, so a rank can look worse than it is."
NOT_CERTIFIED = "No rank was evaluated on the certify split."

MOST_KINDS = 6
"""Maximum number of weak kinds that are listed; verdict.json has all."""

_SEED_LIMIT = re.compile(r"certify\.seeds=(\d+)")


def headline(
    status: str,
    verdict: Verdict | None,
    metric: str,
    margins: tuple[float | None, float | None],
    findings: Sequence[Finding],
    not_gained: NotGained | None,
    weak: Weakness | None,
) -> str:
    """The answer in two to five sentences.

    Args:
        margins: the margin in nats per token and in points of the metric, None where unknown.
        findings: of these, `base_as_good` and `metric_not_gained` come before any rank.
        not_gained: the task metric, if fine-tuning is not shown to have raised it.
        weak: the kinds of examples on which the adapter is of little use.
    """
    kinds = {finding.kind for finding in findings}
    sentences = []
    if "base_as_good" in kinds:
        sentences.append("The base model is as good without an adapter, so no fine-tuning is needed here.")
    by_loss_alone = "metric_not_gained" in kinds
    if by_loss_alone and not_gained is not None:
        sentences.append(_not_gained(metric, not_gained))
    if verdict is None:
        return " ".join(sentences) or NOTHING_CERTIFIED
    if status == "undecided" or verdict.rank is None:
        sentences += _what_is_known(verdict)
    else:
        rank = f"By the loss alone, rank {verdict.rank}" if by_loss_alone else f"Rank {verdict.rank}"
        provisionally = "" if status == "certified" else ", provisionally"
        little_use = [f"It is of little use on {len(weak.kinds)} of {weak.of} kinds of examples."] if weak else []
        sentences += [_answer(verdict, rank, provisionally, metric), *little_use, *_below(verdict)]
    return " ".join([*sentences, *_margin_in_other_units(verdict, metric, *margins)])


def _not_gained(metric: str, not_gained: NotGained) -> str:
    shown = "does not rise" if not_gained.score <= not_gained.base else "is not shown to rise"
    return (
        f"The loss falls, but {metric} {shown}: {not_gained.score:.3f} with rank {not_gained.rank}, {not_gained.base:.3f} without "
        f"an adapter ({not_gained.examples} certify examples)."
    )


def _answer(verdict: Verdict, rank: str, provisionally: str, metric: str) -> str:
    """The claim, which for a cut ladder is about adapters of the largest rank that are cut."""
    if verdict.ladder_by is LadderBy.TRAIN:
        return f"{rank} is enough{provisionally}. {_what_it_keeps(verdict, metric)}"
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


def _what_it_keeps(verdict: Verdict, metric: str) -> str:
    best = f"the best of {named(verdict.ranks)}"
    how_sure = f"({confidence(verdict.alpha)} confidence)"
    return {
        MarginOf.GAIN: f"It keeps at least {percent(1 - verdict.margin)} of what {best} gains from fine-tuning {how_sure}.",
        MarginOf.LOSS: f"Its loss is at most {percent(verdict.margin)} above that of {best} {how_sure}.",
        MarginOf.METRIC: f"Its {metric} is at most {points(verdict.margin)} below that of {best} {how_sure}.",
    }[verdict.margin_of]


def _below(verdict: Verdict) -> list[str]:
    """What is known about the ranks below the chosen one."""
    if verdict.rank == verdict.ranks[0]:
        return ["It is the smallest rank of the ladder: smaller ones were not tried."]
    small = _in_state(verdict, State.INFERIOR, below=verdict.rank)
    still_open = _in_state(verdict, State.UNDECIDED, below=verdict.rank)
    low, high = verdict.bracket
    return [
        *([f"{_upper(named(small))} {_are(small)} too small."] if small else []),
        *(
            [f"Whether {named(still_open)} {_are(still_open)} enough is open (bracket {low}..{high})."]
            if still_open
            else []
        ),
    ]


def _what_is_known(verdict: Verdict) -> list[str]:
    excluded = _in_state(verdict, State.INFERIOR)
    certified = _in_state(verdict, State.CERTIFIED)
    low, high = verdict.bracket
    sentences = [NOTHING_CERTIFIED]
    if excluded:
        too_bad = "too small" if max(excluded) < low else "not as good as the best"
        sentences.append(
            f"{_upper(named(excluded))} {_are(excluded)} {too_bad} ({confidence(verdict.alpha)} confidence)."
        )
    if certified:
        sentences.append(f"So far, {named(certified)} {_are(certified)} enough.")
    if len(verdict.ranks) > 1:
        sentences.append(
            f"The smallest rank that is enough is between {low} and {high}."
            if low != high
            else f"Only rank {low} is left."
        )
    if verdict.needed is not None:
        sentences.append(_needed(verdict, verdict.needed))
    return sentences


def _needed(verdict: Verdict, needed: Need) -> str:
    seeds, parts = max(verdict.seeds), []
    if needed.seeds > seeds:
        parts.append(f"{needed.seeds} seeds per rank (now {seeds})")
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
        f"Here {percent(verdict.margin)} of {_of(verdict.margin_of)} is {nats(in_loss)}{', ' if worth else ''}{worth}."
    ]


# reasons: why a verdict is not final, or why there is none


def edge(at: Edge) -> str:
    """A rank's best rate is at an edge."""
    beyond, change, end = ("higher", "raise", "high") if at.side == "highest" else ("lower", "lower", "low")
    return (
        f"Rank {at.rank} does best at the {at.side} learning rate allowed ({at.learning_rate:.1e}) and may do better with a {beyond} "
        f"one: {change} search.space.learning_rate.{end}."
    )


def flip(other: Flip) -> str:
    """The answer would be another one with a neighbouring rate."""
    lower = (
        f"on tune, its loss at learning rate {other.neighbour:.1e} was {figure(other.better)} lower than at "
        f"{other.learning_rate:.1e}, the rate of its certify trials"
    )
    if other.enters:
        return f"Rank {other.rank} may be enough: {lower}."
    return f"Rank {other.rank} may be better than it looks: {lower}. The chosen rank would then miss the margin."


def changed(first: Declaration, later: Declaration) -> str:
    """The present declaration differs from the first."""
    return (
        f"The margin was changed after there were results, from {_declared(first)} to {_declared(later)}. The verdict uses the one "
        "declared first."
    )


def _declared(declaration: Declaration) -> str:
    return f"{declaration.margin:g} of {declaration.margin_of} (alpha {declaration.alpha:g})"


def pending(ranks: Sequence[int]) -> str:
    """Ranks of the ladder that are not trained yet."""
    return f"{_upper(named(ranks))} {_are(ranks)} not fully trained yet."


def no_look(seeds: int) -> str:
    """Nothing was computed yet."""
    return f"The verdict is not computed yet: {seeds} seed{'s' if seeds != 1 else ''} per rank so far."


def one_seed() -> str:
    """The variance between seeds is unknown."""
    return "With one seed per rank, a difference between ranks can be chance: set certify.seeds to 3 or more."


def no_other(ranks: Sequence[int]) -> str:
    """There is nothing to compare a rank with."""
    return f"{_upper(named(ranks))} is the only one that could be compared." if ranks else "No rank could be compared."


def no_reference(rank: int, left_out: Sequence[LeftOut], seeds: int) -> str:
    """There is no uncut adapter to compare cuts with.

    Args:
        seeds: how many are trained so far.
    """
    for one in left_out:
        if one.rank == rank:
            what = "it does not fit into memory" if one.status == "infeasible" else one.reason
            return (
                f"Rank {rank}, which smaller ranks are cut from and compared with, has a trial without a result ({one.status}: {what}). "
                "Set a smaller certify.ladder, or train each rank: certify.ladder_by=train."
            )
    return no_look(seeds)


def no_base() -> str:
    """A share of the gain needs the base."""
    return "The unadapted base was not evaluated on certify, so the gain from fine-tuning is unknown."


def no_gain(base: float, best: float, rank: int) -> str:
    """A share of nothing is no margin."""
    return (
        f"Fine-tuning gains nothing here: the base's loss is {base:.4f}, that of the best rank ({rank}) {best:.4f}. A margin cannot be "
        "a share of that."
    )


def no_metric_test(metric: str, answers: bool) -> str:
    """Why ranks were not compared in the task metric."""
    if not answers:
        return f"There is no {metric} per example, so ranks were not compared in it."
    return f"The metric {metric} is not a mean of scores per example, so ranks were not compared in it."


def no_exchange(metric: str) -> str:
    """Why ranks were not compared in the task metric, if the margin has no known worth in it."""
    return f"These trials do not show how much {metric} the margin is worth, so ranks were not compared in it."


def stopped(reason: str) -> str:
    """Why no more seeds were added.

    Args:
        reason: as the study has recorded it, in this version or an earlier one.
    """
    if reason.endswith("."):  # why more seeds would be futile
        return reason
    limit = _SEED_LIMIT.search(reason)
    if limit is not None:
        return f"Stopped at the limit of {limit[1]} seeds per rank (certify.seeds={limit[1]})."
    return f"Stopped early: {reason}."


# findings: what else is worth knowing


def still_improving(top: int, below: int, better: float, margin: float) -> str:
    """The largest rank is better than the next."""
    return (
        f"The loss is still falling at the largest rank: rank {top} is {figure(better)} below rank {below}, and the margin is "
        f"{figure(margin)}. A larger rank may be better still."
    )


def no_mild_cut(top: int, below: int, worse: float, margin: float) -> str:
    """Even the mildest cut loses too much."""
    return (
        f"The adapters use all of their rank: cut from rank {top} to {below} they lose {figure(worse)}, and the margin is "
        f"{figure(margin)}. A larger rank may be better still."
    )


def cut_is_better(
    better: Sequence[int], best: int, by: float, top: int, certified: int | None, hands_out: int | None
) -> str:
    """Cutting lowers the loss.

    Args:
        best: the best of these ranks; its loss is lower than the uncut adapters' by `by`.
        certified: the smallest certified rank, None if there is none.
        hands_out: the rank whose adapter is handed out.
    """
    also = f"; most at rank {best}" if len(better) > 1 else ""
    text = (
        f"Cutting helps: adapters cut to {named(better)} have a lower loss than the uncut ones of rank {top}{also} (by {figure(by)}). "
        f"Rank {top} overfits a little, or its learning rate is high."
    )
    if hands_out is not None and hands_out != certified:
        text += f" So the adapter that is handed out is cut to rank {hands_out}, not to rank {certified}."
    return text


def confirmation(of: Confirmation, alpha: float) -> str:
    """The certified rank trained from the start, beside the cut adapters."""
    runs = f"{of.seeds} seed{'s' if of.seeds != 1 else ''}"
    sentences = [
        f"Trained at rank {of.rank} from the start ({runs}, learning rate {of.learning_rate:.1e}), adapters have a loss of "
        f"{of.trained:.4f}; cut to rank {of.rank}, {of.cut:.4f}."
    ]
    if math.isfinite(of.lower) and math.isfinite(of.upper):
        sentences.append(
            f"The difference is {of.difference:+.2g} ({percent(1 - 2 * alpha)} interval {of.lower:+.2g} to {of.upper:+.2g})."
        )
    sentences.append(_agreement(of))
    if of.at_edge:
        sentences.append("That learning rate is the last of those allowed, so trained ones may do better with another.")
    if of.failed:
        sentences.append(f"{of.failed} trial{'s' if of.failed != 1 else ''} ended without a result.")
    return " ".join(sentences)


def _agreement(of: Confirmation) -> str:
    if of.margin is None:
        return "What the margin is in nats is unknown, so whether both agree is open."
    within = f"the margin of {figure(of.margin)}"
    if of.agree:
        return f"Both agree within {within}."
    if of.agree is None:
        return f"Whether both agree within {within} is open."
    return f"{'Training' if of.difference < 0 else 'Cutting'} is better by more than {within}."


def base_as_good(base: float, best: float, rank: int, what: str) -> str:
    """The base needs no adapter."""
    return (
        f"The unadapted base is not clearly worse than the best adapter: {what} {base:.4f} against {best:.4f} at rank {rank} on "
        "certify."
    )


def metric_not_gained(metric: str, not_gained: NotGained) -> str:
    """The loss is better than the base's, the task metric is not."""
    return (
        f"{_not_gained(metric, not_gained)} The model may have learned only the format of the answers. Train for longer (train.steps) "
        "or on more data, or compare ranks by the metric itself in a study of another name: certify.margin_of=metric "
        "certify.margin=0.02."
    )


def weak_kinds(weak: Weakness) -> str:
    """The adapter is of little use on some kinds of examples."""
    listed = [_weak_kind(kind, weak) for kind in weak.kinds[:MOST_KINDS]]
    more = len(weak.kinds) - len(listed)
    text = (
        f"Rank {weak.rank} is of little use on {len(weak.kinds)} of {weak.of} kinds of examples: "
        f"{', '.join(listed)}{f', and {more} more' if more else ''}."
    )
    if weak.larger_is_weak and weak.largest != weak.rank:
        text += f" Rank {weak.largest} is no better on these: more training examples of them may help, a larger rank does not."
    return f"{text} Over all examples, rank {weak.rank} scores {weak.overall:.2f}."


def _weak_kind(kind: KindScore, weak: Weakness) -> str:
    beside = [
        *([f"{kind.examples} examples"] if kind.examples is not None else []),
        *([f"base model {kind.base:.2f}"] if kind.base is not None else []),
        *(
            [f"rank {weak.largest} {kind.largest:.2f}"]
            if kind.largest is not None and weak.largest != weak.rank
            else []
        ),
    ]
    in_brackets = f" ({', '.join(beside)})" if beside else ""
    return f"{kind.kind} {kind.chosen:.2f}{in_brackets}"


def overfitting(top: Sequence[int], best: int, worse: float, margin: float) -> str:
    """The largest ranks are worse."""
    why = "they overfit, or their learning rate" if len(top) > 1 else "it overfits, or its learning rate"
    return (
        f"{_upper(named(top))} {_are(top)} worse than rank {best} by {figure(worse)} or more, beyond the margin of "
        f"{figure(margin)}: {why} is too high."
    )


def metric_disagrees(metric: str, only_loss: Sequence[int], only_metric: Sequence[int]) -> str:
    """Loss and task metric contradict each other."""
    pairs = ((only_loss, "loss", metric), (only_metric, metric, "loss"))
    return " ".join(
        f"Loss and {metric} disagree: {named(ranks)} {_keep(ranks)} the margin in {kept} but not in {missed}."
        for ranks, kept, missed in pairs
        if ranks
    )


def metric_behind(metric: str, own: tuple[int, float], best: tuple[int, float]) -> str:
    """The chosen rank is measurably worse on the task metric, if not by more than the margin."""
    return (
        f"Rank {own[0]} is measurably behind in {metric}: {own[1]:.3f} against {best[1]:.3f} at rank {best[0]}, mean over seeds "
        f"on certify. Take rank {best[0]} if that matters more than size."
    )


def wide_margin(metric: str, declared: Declaration, worth: float, wanted: float) -> str:
    """The margin is worth much of the task metric."""
    narrower = declared.margin * wanted / worth
    return (
        f"The margin is wide for this task: {percent(declared.margin)} of {_of(declared.margin_of)} is worth about {points(worth)} of "
        f"{metric} here. For a margin of {points(wanted)}, set certify.margin={narrower:.2g}, or certify.margin_of=metric "
        f"certify.margin={wanted:g}, in a study of another name (trained adapters are used again)."
    )


def _of(margin_of: str) -> str:
    return "the gain" if margin_of == MarginOf.GAIN else "the loss"


def not_every_rank(compared: Sequence[int], left_out: Sequence[LeftOut]) -> str:
    """Some ranks of the ladder are missing."""
    about = f"The verdict covers only {named(compared)}." if compared else "No rank could be compared."
    return " ".join([about, *map(left, left_out)])


def left(one: LeftOut) -> str:
    """Why a rank could not be compared."""
    what = "does not fit into memory" if one.status == "infeasible" else "could not be compared"
    return f"Rank {one.rank} {what} ({one.status}: {one.reason})."


def _in_state(verdict: Verdict, state: State, below: int | None = None) -> list[int]:
    return [each.rank for each in verdict.ladder if each.state is state and (below is None or each.rank < below)]


def _are(ranks: Sequence[int]) -> str:
    return "is" if len(ranks) == 1 else "are"


def _keep(ranks: Sequence[int]) -> str:
    return "keeps" if len(ranks) == 1 else "keep"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
