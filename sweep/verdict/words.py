"""The words of the verdict: every sentence that a study's answer is told in, in terminal, report and verdict.json alike."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.records import Declaration
from sweep.verdict.conclusion import Finding
from sweep.verdict.figures import confidence, figure, named, nats, percent, points
from sweep.verdict.gained import NotGained
from sweep.verdict.guards import Edge, Flip
from sweep.verdict.kinds import KindScore, Weakness
from sweep.verdict.ladder import LeftOut
from sweep.verdict.record import MarginOf, Need, State, Verdict

ONE_SEED = "every arm was trained with one seed: a difference between ranks can be chance"
NOT_TUNED = "the learning rate was not tuned for each rank on its own, so a rank can look worse than it is"
NOT_CERTIFIED = "no rank was held against the margin on the certify split"

MOST_KINDS = 6
"""So many weak kinds are named; verdict.json has all."""


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
        margins: the margin in nats a token and in points of the metric, None where unknown.
        findings: of these, `base_as_good` and `metric_not_gained` come before any rank.
        not_gained: the task metric, if fine-tuning is not shown to have raised it.
        weak: the kinds of examples on which the adapter is of little use.
    """
    kinds = {finding.kind for finding in findings}
    sentences = []
    if "base_as_good" in kinds:
        sentences.append("The base model is as good without an adapter: no fine-tuning is needed here.")
    by_loss_alone = "metric_not_gained" in kinds
    if by_loss_alone and not_gained is not None:
        sentences.append(_not_gained(metric, not_gained))
    if verdict is None:
        return " ".join(sentences) or "No rank is certified yet."
    if status == "undecided" or verdict.rank is None:
        sentences += _what_is_known(verdict)
    else:
        enough, kept, *below = _what_is_certified(verdict, status, metric, by_loss_alone=by_loss_alone)
        little_use = [f"It is of little use on {len(weak.kinds)} of {weak.of} kinds of examples."] if weak else []
        sentences += [enough, kept, *little_use, *below]
    return " ".join([*sentences, *_exchange(verdict, metric, *margins)])


def _not_gained(metric: str, found: NotGained) -> str:
    shown = "does not rise" if found.score <= found.base else "is not shown to rise"
    return (
        f"The loss falls, but {metric} {shown}: {found.score:.3f} with rank {found.rank}, {found.base:.3f} without an adapter "
        f"({found.examples} certify examples)."
    )


def _what_is_certified(verdict: Verdict, status: str, metric: str, *, by_loss_alone: bool) -> list[str]:
    assert verdict.rank is not None
    low, high = verdict.bracket
    bracket = f"; bracket {low}..{high}" if low != high else ""
    others = f"the best of {named(verdict.ranks)}"
    how_sure = f"({confidence(verdict.alpha)} confidence{bracket})"
    kept = {
        MarginOf.GAIN: f"It keeps at least {percent(1 - verdict.margin)} of what fine-tuning gains: it matches {others} within that "
        f"margin {how_sure}.",
        MarginOf.LOSS: f"Its loss is at most {percent(verdict.margin)} above that of {others} {how_sure}.",
        MarginOf.METRIC: f"Its {metric} is at most {points(verdict.margin)} below that of {others} {how_sure}.",
    }[verdict.margin_of]
    enough = "is enough" if status == "certified" else "is enough, provisionally"
    rank = f"By the loss alone, rank {verdict.rank}" if by_loss_alone else f"Rank {verdict.rank}"
    return [f"{rank} {enough}.", kept, *_below(verdict)]


def _below(verdict: Verdict) -> list[str]:
    """What is known of the ranks below the chosen one."""
    if verdict.rank == verdict.ranks[0]:
        return ["It is the smallest of the ladder: smaller ranks were not tried."]
    small = _in_state(verdict, State.INFERIOR, below=verdict.rank)
    still_open = _in_state(verdict, State.UNDECIDED, below=verdict.rank)
    return [
        *([f"{_upper(named(small))} {_are(small)} too small."] if small else []),
        *([f"Whether {named(still_open)} would do is open."] if still_open else []),
    ]


def _what_is_known(verdict: Verdict) -> list[str]:
    excluded = _in_state(verdict, State.INFERIOR)
    certified = _in_state(verdict, State.CERTIFIED)
    low, high = verdict.bracket
    sentences = ["No rank is certified yet."]
    if excluded:
        too_bad = "too small" if max(excluded) < low else "not as good as the best"
        sentences.append(
            f"{_upper(named(excluded))} {_are(excluded)} {too_bad} ({confidence(verdict.alpha)} confidence)."
        )
    if certified:
        sentences.append(f"So far {named(certified)} would do.")
    if len(verdict.ranks) > 1:
        sentences.append(
            f"The smallest rank that is enough lies in {low}..{high}." if low != high else f"Rank {low} is left."
        )
    if verdict.needed is not None:
        sentences.append(_needed(verdict, verdict.needed))
    return sentences


def _needed(verdict: Verdict, needed: Need) -> str:
    seeds, parts = max(verdict.seeds), []
    if needed.seeds > seeds:
        parts.append(f"{needed.seeds} seeds a rank (there are {seeds})")
    if needed.examples > verdict.examples:
        parts.append(f"{needed.examples} certify examples (there are {verdict.examples})")
    return f"With {' and '.join(parts)} it would probably be decided."


def _exchange(verdict: Verdict, metric: str, in_loss: float | None, in_metric: float | None) -> list[str]:
    worth = f"about {points(in_metric)} of {metric}" if in_metric is not None else ""
    if verdict.margin_of is MarginOf.METRIC:
        return [f"Here {points(verdict.margin)} of {metric} are about {nats(in_loss)}."] if in_loss is not None else []
    if in_loss is None or not in_loss > 0:
        return []
    of = "the gain" if verdict.margin_of is MarginOf.GAIN else "the loss"
    return [f"Here {percent(verdict.margin)} of {of} is {nats(in_loss)}{', ' if worth else ''}{worth}."]


# reasons: why a verdict is not final, or not there


def edge(found: Edge) -> str:
    """A rank's best rate is at an edge."""
    beyond = ("higher", "high") if found.side == "highest" else ("lower", "low")
    return (
        f"rank {found.rank} does best at the {found.side} learning rate that may be tried ({found.learning_rate:.1e}): with a "
        f"{beyond[0]} one it may do better; widen search.space.learning_rate.{beyond[1]}"
    )


def flip(found: Flip) -> str:
    """The answer is another one with a neighbouring rate."""
    tried = f"on tune its loss at learning rate {found.neighbour:.1e} was {figure(found.better)} below that at {found.learning_rate:.1e}"
    if found.enters:
        return f"rank {found.rank} may be enough: {tried}, with which it was judged"
    return (
        f"rank {found.rank} may be better than it was judged to be: {tried}; the chosen rank would then miss the margin"
    )


def changed(first: Declaration, later: Declaration) -> str:
    """What was declared is not what is declared by now."""
    return (
        f"{_declared(first)} was declared before the first trial, {_declared(later)} after results were there: the verdict "
        "is held to what was declared first"
    )


def _declared(declaration: Declaration) -> str:
    return f"margin {declaration.margin:g} of {declaration.margin_of} (alpha {declaration.alpha:g})"


def pending(ranks: Sequence[int]) -> str:
    """Ranks of the ladder that are not trained yet."""
    return f"{named(ranks)} {_are(ranks)} not trained to the end yet"


def no_look(seeds: int) -> str:
    """Nothing was computed yet."""
    return f"the verdict is computed at the first planned number of seeds; there are {seeds} so far"


def one_seed() -> str:
    """No variance can be told."""
    return "one seed a rank: a difference between ranks can be chance; set certify.seeds to 3 or more"


def no_other(ranks: Sequence[int]) -> str:
    """There is nothing to hold a rank against."""
    return f"{named(ranks)} is the only one that could be compared" if ranks else "no rank could be compared"


def no_base() -> str:
    """A share of the gain needs the base."""
    return "the unadapted base was not scored on certify, so it is not known what fine-tuning gains"


def no_gain(base: float, best: float, rank: int) -> str:
    """A share of nothing is no margin."""
    return (
        f"fine-tuning gains nothing here: the base's loss is {base:.4f}, that of the best rank ({rank}) {best:.4f}; there is "
        "nothing that a margin could be a share of"
    )


def no_metric_test(metric: str, answers: bool) -> str:
    """Why the test was not made on the task metric."""
    if not answers:
        return f"there is no {metric} for each example, so no test was made on it"
    return f"{metric} is no mean of the examples' scores, so no test was made on it"


def no_exchange(metric: str) -> str:
    """Why the test was not made on the task metric, for want of a margin."""
    return f"how much of {metric} the margin is worth cannot be told from these trials, so no test was made on it"


def stopped(reason: str) -> str:
    """Why no more seeds were added."""
    return f"no more seeds were added: {reason}"


# findings: what else is worth knowing


def still_improving(top: int, below: int, better: float, margin: float) -> str:
    """The largest rank is better than the next."""
    return (
        f"The loss is still falling at the top of the ladder: rank {top} is {figure(better)} below rank {below}, and the margin "
        f"is {figure(margin)}. A larger rank may be better still."
    )


def base_as_good(base: float, best: float, rank: int, what: str) -> str:
    """The base needs no adapter."""
    return (
        f"The unadapted base is not clearly worse than the best adapter: {what} {base:.4f} against {best:.4f} at rank {rank} on "
        "certify."
    )


def metric_not_gained(metric: str, found: NotGained) -> str:
    """The loss is better than the base's, the task metric is not."""
    return (
        f"{_not_gained(metric, found)} What the loss gains may be the format of the answers alone. Train for longer (train.steps) or "
        "on more data; or have ranks judged by the metric itself, in a study of another name: certify.margin_of=metric "
        "certify.margin=0.02."
    )


def weak_kinds(weak: Weakness) -> str:
    """The adapter is of little use on some kinds of examples."""
    listed = [_weak_kind(kind, weak) for kind in weak.kinds[:MOST_KINDS]]
    more = len(weak.kinds) - len(listed)
    text = (
        f"Rank {weak.rank} is of little use on {len(weak.kinds)} of {weak.of} kinds of examples, against {weak.overall:.2f} over all "
        f"of them: {', '.join(listed)}{f', and {more} more' if more else ''}."
    )
    if weak.larger_is_weak and weak.largest != weak.rank:
        text += f" Rank {weak.largest} is no better there: more training examples of these kinds may help, a larger rank does not."
    return text


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
    return (
        f"{_upper(named(top))} {_are(top)} worse than rank {best} by {figure(worse)} or more, beyond the margin of "
        f"{figure(margin)}: overfitting, or a learning rate that is too high for {'them' if len(top) > 1 else 'it'}."
    )


def metric_disagrees(metric: str, only_loss: Sequence[int], only_metric: Sequence[int]) -> str:
    """Loss and task metric contradict each other."""
    return " ".join(
        [
            *(
                [
                    f"Loss and {metric} disagree: {named(only_loss)} {_keep(only_loss)} the margin in loss but not in {metric}."
                ]
                if only_loss
                else []
            ),
            *(
                [
                    f"Loss and {metric} disagree: {named(only_metric)} {_keep(only_metric)} the margin in {metric} but not in loss."
                ]
                if only_metric
                else []
            ),
        ]
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
        f"{metric} here. One worth {points(wanted)} is certify.margin={narrower:.2g}, or declare certify.margin_of=metric "
        f"certify.margin={wanted:g}, in a study of another name (trained trials are used again)."
    )


def _of(margin_of: str) -> str:
    return "the gain" if margin_of == MarginOf.GAIN else "the loss"


def not_every_rank(compared: Sequence[int], left_out: Sequence[LeftOut]) -> str:
    """Some ranks of the ladder are missing."""
    about = f"The verdict is about {named(compared)} only." if compared else "No rank could be compared."
    return " ".join([about, *(f"{_upper(left(one))}." for one in left_out)])


def left(one: LeftOut) -> str:
    """Why a rank could not be compared."""
    what = "does not fit" if one.status == "infeasible" else "could not be compared"
    return f"rank {one.rank} {what}: {one.status}: {one.reason}"


def _in_state(verdict: Verdict, state: State, below: int | None = None) -> list[int]:
    return [rung.rank for rung in verdict.ladder if rung.state is state and (below is None or rung.rank < below)]


def _are(ranks: Sequence[int]) -> str:
    return "is" if len(ranks) == 1 else "are"


def _keep(ranks: Sequence[int]) -> str:
    return "keeps" if len(ranks) == 1 else "keep"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
