"""The sentences of findings: what a person should know beside the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sweep.records import Declaration, rung_words
from sweep.verdict import words
from sweep.verdict.confirmation import Confirmation
from sweep.verdict.cost import OutOfOrder
from sweep.verdict.figures import are, capitalized, figure, gain_or_loss, keep, made_at, named, percent, points
from sweep.verdict.kinds import KindScore, Weakness
from sweep.verdict.ladder import LeftOut
from sweep.verdict.record import State, Verdict
from sweep.verdict.task_metric import Lookup, NotGained
from sweep.verdict.terms import RANKS, terms_of
from tasks.splits import left_out_in_words

MOST_PAIRS = 3
"""Maximum number of pairs of methods whose costs are listed."""

MOST_KINDS = 6
"""Maximum number of weak kinds that are listed; verdict.json has all."""


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


def forgets_too_much(verdict: Verdict) -> str:
    """Ranks that are shown to be above the limit of forgetting."""
    above = [rung for rung in verdict.ladder if rung.state is State.FORGETS and rung.forgetting is not None]
    ranks, terms = [rung.rank for rung in above], terms_of(verdict.ranks)
    listed = ", ".join(
        f"{rung_words(rung.rank)} {rung.forgetting.rise:+.3f} (at least {rung.forgetting.lower:+.3f})"
        for rung in above
        if rung.forgetting is not None
    )
    text = (
        f"{capitalized(named(ranks))} {are(ranks)} not certified, because the loss on general prose rises by more than "
        f"certify.max_forgetting={verdict.max_forgetting:g}: {listed}."
    )
    if verdict.rank is not None:
        return text
    lower = "a smaller rank" if terms is RANKS else f"a {terms.one} that changes less"
    return (
        f"{text} Less is forgotten with general text mixed in (train.replay=0.2), a lower lora.alpha_ratio, fewer steps (train.steps), or "
        f"{lower}."
    )


def base_as_good(base: float, best: float, rank: int, what: str) -> str:
    """The base needs no adapter."""
    return (
        f"The unadapted base is not clearly worse than the best adapter: {what} {base:.4f} against {best:.4f} {made_at(rank)} on "
        "certify."
    )


def metric_not_gained(metric: str, not_gained: NotGained) -> str:
    """The loss is better than the base's, the task metric is not."""
    many = terms_of([not_gained.rank]).many
    return (
        f"{not_gained_in(metric, not_gained)} The model may have learned only the format of the answers. Train for longer (train.steps) "
        f"or on more data, or compare {many} by the metric itself in a study of another name: certify.margin_of=metric "
        "certify.margin=0.02."
    )


def beside_lookup(metric: str, lookup: Lookup) -> str:
    """The adapter is not shown to be better than the nearest training examples' answers."""
    return (
        f"{beside_lookup_in(metric, lookup)} That lookup needs no model: train for longer (train.steps) or on more data before you use "
        "this adapter."
    )


def beside_lookup_in(metric: str, lookup: Lookup) -> str:
    """The same in one sentence."""
    nearest, own = f"{lookup.nearest:.3f}", f"{lookup.score:.3f}"
    of = f"{lookup.examples} {lookup.split.value} examples"
    difference = f"difference {lookup.score - lookup.nearest:+.3f}"
    if not math.isfinite(lookup.low):
        how_sure = f"{difference}, whose noise of examples is unknown; {of}"
    else:
        how_sure = (
            f"{difference}, {percent(1 - 2 * lookup.alpha)} interval {lookup.low:+.3f} to {lookup.high:+.3f}, {of}"
        )
    if lookup.is_worse:
        return f"The nearest training example answers better than this adapter: {metric} {nearest} against {own} ({how_sure})."
    return f"This adapter is not shown to answer better than the nearest training example: {metric} {own} against {nearest} ({how_sure})."


def weak_kinds(weak: Weakness) -> str:
    """The adapter is of little use on some kinds of examples."""
    listed, terms = [_weak_kind(kind, weak) for kind in weak.kinds[:MOST_KINDS]], terms_of([weak.rank])
    more = len(weak.kinds) - len(listed)
    text = (
        f"{capitalized(rung_words(weak.rank))} is of little use on {len(weak.kinds)} of {weak.of} kinds of examples: "
        f"{', '.join(listed)}{f', and {more} more' if more else ''}."
    )
    if weak.larger_is_weak and weak.largest != weak.rank:
        text += (
            f" {capitalized(rung_words(weak.largest))} is no better on these: more training examples of them may help, "
            f"a {terms.greater} {terms.one} does not."
        )
    return f"{text} Over all examples, {rung_words(weak.rank)} scores {weak.overall:.2f}."


def _weak_kind(kind: KindScore, weak: Weakness) -> str:
    beside = [
        *([f"{kind.examples} examples"] if kind.examples is not None else []),
        *([f"base model {kind.base:.2f}"] if kind.base is not None else []),
        *(
            [f"{rung_words(weak.largest)} {kind.largest:.2f}"]
            if kind.largest is not None and weak.largest != weak.rank
            else []
        ),
    ]
    in_brackets = f" ({', '.join(beside)})" if beside else ""
    return f"{kind.kind} {kind.chosen:.2f}{in_brackets}"


def overfitting(top: Sequence[int], best: int, worse: float, margin: float) -> str:
    """The largest ranks are worse; of a ladder of arms, the most expensive methods, which need not overfit."""
    if terms_of(top) is not RANKS:
        return (
            f"{capitalized(named(top))} {'costs' if len(top) == 1 else 'cost'} more than {rung_words(best)} and {are(top)} worse by "
            f"{figure(worse)} or more, beyond the margin of {figure(margin)}."
        )
    why = "they overfit, or their learning rate" if len(top) > 1 else "it overfits, or its learning rate"
    return (
        f"{capitalized(named(top))} {are(top)} worse than rank {best} by {figure(worse)} or more, beyond the margin of "
        f"{figure(margin)}: {why} is too high."
    )


def metric_disagrees(metric: str, only_loss: Sequence[int], only_metric: Sequence[int]) -> str:
    """Loss and task metric contradict each other."""
    pairs = ((only_loss, "loss", metric), (only_metric, metric, "loss"))
    return " ".join(
        f"Loss and {metric} disagree: {named(ranks)} {keep(ranks)} the margin in {kept} but not in {missed}."
        for ranks, kept, missed in pairs
        if ranks
    )


def metric_behind(metric: str, own: tuple[int, float], best: tuple[int, float]) -> str:
    """The chosen rank is measurably worse on the task metric, if not by more than the margin."""
    matters = "size" if terms_of([own[0]]) is RANKS else "cost"
    return (
        f"{capitalized(rung_words(own[0]))} is measurably behind in {metric}: {own[1]:.3f} against {best[1]:.3f} {made_at(best[0])}, "
        f"mean over seeds on certify. Take {rung_words(best[0])} if that matters more than {matters}."
    )


def wide_margin(metric: str, declared: Declaration, worth: float, wanted: float) -> str:
    """The margin is worth much of the task metric."""
    narrower = declared.margin * wanted / worth
    return (
        f"The margin is wide for this task: {percent(declared.margin)} of {gain_or_loss(declared.margin_of)} is worth about "
        f"{points(worth)} of {metric} here. For a margin of {points(wanted)}, set certify.margin={narrower:.2g}, or "
        f"certify.margin_of=metric certify.margin={wanted:g}, in a study of another name (trained adapters are used again)."
    )


def not_every_rank(compared: Sequence[int], left_out: Sequence[LeftOut]) -> str:
    """Some ranks of the ladder are missing."""
    terms = terms_of([*compared, *(one.rank for one in left_out)])
    about = f"The verdict covers only {named(compared)}." if compared else f"No {terms.one} could be compared."
    return " ".join([about, *map(words.left, left_out)])


def seen_before(left_out: Mapping[str, tuple[int, int]]) -> str:
    """Rows that would be judged are asked in train, too."""
    return " ".join(f"{capitalized(left_out_in_words(split, *counts))}." for split, counts in left_out.items())


def cost_order(disorder: Sequence[OutOfOrder]) -> str:
    """The declared order of cost is not the measured one."""
    shown = " ".join(pair.words() for pair in disorder[:MOST_PAIRS])
    more = f" So are {len(disorder) - MOST_PAIRS} other pairs." if len(disorder) > MOST_PAIRS else ""
    return f"The order of the ladder is not that of the costs measured. {shown}{more}"


def not_gained_in(metric: str, not_gained: NotGained) -> str:
    """That the task metric did not improve on the base's."""
    shown = "does not rise" if not_gained.score <= not_gained.base else "is not shown to rise"
    return (
        f"The loss falls, but {metric} {shown}: {not_gained.score:.3f} with {rung_words(not_gained.rank)}, {not_gained.base:.3f} without "
        f"an adapter ({not_gained.examples} certify examples)."
    )
