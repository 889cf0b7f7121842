"""What the data suggests to set, and what it cannot say before the first trial.

Figures about seeds and examples are those of docs/calibration.md; a test compares them with that page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.records import Declaration, StudyPlan
from sweep.records.evaluation import FEWEST_CHOSEN
from sweep.reports.data_report.profile import DataProfile, Lengths
from sweep.verdict.power import between, chances

COVERED = 0.995
"""Share of examples that `task.max_length` should leave whole."""
_ROUND = 32
_HARDLY_MORE = 1.5
"""All examples are covered if that takes at most this many times the length that covers COVERED of them."""

FEW_NEAR = 0.01
"""Share of held-out examples with a near-duplicate in train that does not matter."""

FEWEST_STEPS, MOST_STEPS = 30, 1000
_FEW_EPOCHS = 3

EXAMPLE_ERROR = (0.0047, 0.0075)
"""Error of a difference of losses from 100 to 154 examples, in nats ("Noise of real studies"), smallest and largest measured."""
MARGINS_FOR_ALL = {3: "six", 5: "about four", 8: "about three and a half"}
"""Seeds, and the margin in seed deviations that certifies all of four equal trained ranks."""
A_GOOD_CUT = 0.4
"""What a cut loses that is comfortably within the margin, in margins."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation.

    Attributes:
        about: what it is about, a key or a few words.
        text: what is recommended, and why.
        setting: what to write on the command line; empty if nothing has to change.
    """

    about: str
    text: str
    setting: str = ""


def advice(profile: DataProfile, plan: StudyPlan) -> list[Advice]:
    """The recommendations for this data, under the settings of the plan."""
    return [
        *_near(profile),
        *_length(profile, plan),
        *_steps(profile, plan),
        *_certify(profile, plan),
        _margin(plan.declaration),
    ]


def recommended_length(lengths: Lengths, context: int | None = None) -> int:
    """A `task.max_length` that leaves COVERED of the examples whole, a multiple of 32; all of them where that takes little more."""
    enough = _rounded(lengths.covering(COVERED))
    every = _rounded(lengths.most())
    length = every if every <= _HARDLY_MORE * enough else enough
    return min(length, context) if context else length


def _rounded(length: int) -> int:
    return _ROUND * max(1, math.ceil(length / _ROUND))


def _near(profile: DataProfile) -> Iterator[Advice]:
    found = sum(each.count for each in (*profile.near, *profile.across) if each.other == "train")
    held_out = profile.total - profile.counts["train"]
    if found > FEW_NEAR * held_out:
        yield Advice(
            "held-out examples",
            f"{found:,} of {held_out:,} have their prompt, or nearly the same one, in train: scores on them say little about unseen data. "
            "Take them out of one of the two; rows that belong together stay together with task.group_column=COLUMN (task=data)",
        )


def _length(profile: DataProfile, plan: StudyPlan) -> Iterator[Advice]:
    now, lengths = plan.setup.task.max_length, profile.lengths
    if lengths is None:
        return
    if lengths.unit != "tokens":
        yield Advice("task.max_length", "unknown without the model's tokenizer: lengths here are in words")
        return
    best = recommended_length(lengths, profile.context)
    longer = int((lengths.whole > now).sum())
    share = 100 * (1 - longer / len(lengths.whole))
    here = f"{now} (now) leaves {share:.4g} % of the examples whole"
    if share >= 100 * COVERED:
        yield Advice("task.max_length", f"{here}; it can stay")
        return
    covered = 100 * float((lengths.whole <= best).mean())
    limit = f", the limit of {profile.model}" if best == profile.context else ""
    yield Advice(
        "task.max_length", f"{best}{limit} leaves {covered:.4g} % of them whole; {here}", f"task.max_length={best}"
    )


def _steps(profile: DataProfile, plan: StudyPlan) -> Iterator[Advice]:
    examples = profile.counts["train"]
    if not examples:
        return
    training = plan.training
    per_step = training.batch_size * training.gradient_accumulation
    epoch = math.ceil(examples / per_step)
    if plan.epochs is not None:
        now = f"train.epochs={plan.epochs:g} (now) is {max(1, math.ceil(plan.epochs * examples / per_step)):,} steps"
        yield Advice("train.steps", f"{now} of {per_step} examples")
        return
    passes = training.steps * per_step / examples
    now = f"train.steps={training.steps} (now) sees {training.steps * per_step:,} examples, {passes:.2g} epochs"
    once = f"one epoch is {epoch:,} steps of {per_step}"
    if epoch > MOST_STEPS:
        text, setting = f"{once}: long for a first study. {now}; raise it if the loss still falls at the end", ""
    elif epoch >= FEWEST_STEPS:
        text = f"{once}; in it every example is new, so that training losses also help to tune the rate. {now}"
        setting = "train.epochs=1"
    else:
        text = f"{once}, few for a stable result: begin with {_FEW_EPOCHS} epochs, and watch the loss on tune. {now}"
        setting = f"train.epochs={_FEW_EPOCHS}"
    yield Advice("train.steps", text, setting)


def _certify(profile: DataProfile, plan: StudyPlan) -> Iterator[Advice]:
    there = profile.counts["certify"] - profile.left_out.get("certify", 0)
    asked = plan.setup.scoring.certify_examples
    used = there if asked is None else min(asked, there)
    low, high = EXAMPLE_ERROR
    if used >= FEWEST_CHOSEN:
        text = (
            f"{there:,} are there, and a hundred were enough on three data sets: the error of a difference of losses from 100 to 154 "
            f"examples was {low} to {high} nats per token, at most a third of the noise between seeds (docs/calibration.md)"
        )
        yield Advice("certify examples", text)
        return
    more = math.sqrt(FEWEST_CHOSEN / max(1, used))
    has = f"{there:,} are there" if used == there else f"{used:,} are used of {there:,}"
    text = (
        f"{has}. The error from examples falls with the root of their number: expect {more:.2g} times that of a hundred, which was "
        f"{low} to {high} nats per token on three data sets (docs/calibration.md). "
    )
    if there > used:
        wanted = min(FEWEST_CHOSEN, there)
        yield Advice("certify examples", f"{text}Use {wanted}", f"evaluate.certify_examples={wanted}")
    else:
        yield Advice("certify examples", f"{text}Add validation rows if you can")


def cut_power() -> dict[int, float]:
    """Seeds, and the chance that a cut that loses `A_GOOD_CUT` margins is certified, from simulated studies."""
    return {seeds: between(chances((seeds,), cut=True)[1], A_GOOD_CUT) for seeds in (2, 3, 4)}


def _margin(declared: Declaration) -> Advice:
    about = f"certify.margin={declared.margin:g} of the {declared.margin_of}"
    unknown = "how many seed deviations that is depends on the noise between seeds, which the first trials show"
    if declared.ladder_by == "cut" and not declared.arms:
        power = ", ".join(f"{seeds} seeds in {100 * chance:.0f} %" for seeds, chance in cut_power().items())
        known = (
            f"Cut ladders hardly depend on it: a cut that loses {A_GOOD_CUT:g} margins is certified with "
            f"{power} of simulated studies (docs/calibration.md)"
        )
    else:
        needed = ", ".join(f"{margin} with {seeds} seeds" for seeds, margin in MARGINS_FOR_ALL.items())
        known = (
            f"Certifying all of four equal ranks takes a margin, in seed deviations, of {needed} (docs/calibration.md)"
        )
    return Advice("margin", f"{about}: {unknown}. {known}")
