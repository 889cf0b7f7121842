"""LoRA's limits: each finding where it holds and not where it does not, and how often it is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.records import Arm, Declaration, LadderArm, StepLoss, StudyRecord, TrialRecord
from sweep.verdict.bounds import Array
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, Finding
from sweep.verdict.findings import still_improving
from sweep.verdict.judge import judge
from sweep.verdict.ladder import LadderData
from sweep.verdict.limits import far_from_full, rank_ceiling
from sweep.verdict.memorized import keeps_less
from tests.conftest import certified_record
from tests.verdict.arm_ladders import arms_record

SHORT = {"far_from_full", "still_improving"}
ALPHA, STUDIES, EXAMPLES = 0.05, 600, 32


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def found(record: StudyRecord) -> dict[str, Finding]:
    return {finding.kind: finding for finding in concluded(record).findings}


class TestFull:
    """A ladder of arms with LoRA at ranks 2 and 8, and full fine-tuning."""

    @pytest.mark.parametrize(
        ("losses", "kinds"),
        [
            ((0.9, 0.52, 0.5, 0.3), {"far_from_full"}),
            ((0.9, 0.52, 0.5, 0.49), set()),  # within the margin
            ((0.9, 0.8, 0.3, 0.3), set()),  # the larger rank reaches it
            ((0.9, 0.3, 0.3, 0.6), set()),
            ((0.9, 0.8, 0.7, 0.3), {"still_improving"}),
            ((0.9, 0.7, 0.8, 0.3), {"far_from_full"}),  # a larger rank is worse
            ((0.9, 0.8, 0.7), {"still_improving"}),  # without full fine-tuning
            ((0.9, 0.72, 0.7), set()),
        ],
    )
    def test_lora_falls_short(self, losses: tuple[float, ...], kinds: set[str]) -> None:
        assert set(found(arms_record(losses))) & SHORT == kinds

    def test_noise_is_no_gap(self) -> None:
        losses = (0.9, 0.42, 0.4, 0.3)
        assert "far_from_full" in found(arms_record(losses))
        assert "far_from_full" not in found(arms_record(losses, seed_noise=0.15))

    def test_words_say_what_is_kept_of_the_gain(self) -> None:
        text = found(arms_record((0.9, 0.52, 0.5, 0.3)))["far_from_full"].text
        assert text.startswith(
            "Both LoRA arms miss the margin to full fine-tuning: the domain may be too far from what the base knows. The best of them, "
            "LoRA at rank 8, keeps 94.6 % of what full fine-tuning gains (at most 9"
        )
        by_loss = found(arms_record((0.9, 0.52, 0.5, 0.3), base_loss=None, margin_of="loss", margin=0.1))
        assert "LoRA at rank 8, is 0.2 worse (at least 0.19 with 95 %" in by_loss["far_from_full"].text

    def test_points_of_the_metric(self) -> None:
        scores = {0: 0.1, 1: 0.5, 2: 0.69, 3: 0.7, 4: 0.9}
        record = arms_record((0.9, 0.52, 0.5, 0.3), margin_of="metric", margin=0.05, scores=scores)
        assert "far_from_full" in found(record)
        close = arms_record((0.9, 0.52, 0.5, 0.3), margin_of="metric", margin=0.05, scores={**scores, 4: 0.71})
        assert not set(found(close)) & SHORT

    def test_words_of_the_ceiling(self) -> None:
        text = found(arms_record((0.9, 0.8, 0.7, 0.3)))["still_improving"].text
        assert text.startswith(
            "The loss still falls with LoRA's rank: LoRA at rank 8 is 0.1 below LoRA at rank 2 (at least 0.09"
        )
        assert "The best LoRA arm, LoRA at rank 8, keeps 89.2 % of what full fine-tuning gains" in text

    def test_the_base_comes_first(self) -> None:
        kinds = found(arms_record((4.1, 4.2, 4.05, 4.0)))
        assert "base_as_good" in kinds
        assert not set(kinds) & SHORT


class TestWithoutFull:
    """Without full fine-tuning in the ladder, that it was not tried is said where it matters."""

    @pytest.mark.parametrize(
        ("losses", "said"),
        [
            ({2: 0.6, 4: 0.45, 8: 0.30}, "The loss is still falling with the rank."),
            ({2: 3.8, 4: 3.8, 8: 3.8}, "The gain is small: the loss falls from 4.000 to 3.800, by less than 10 %"),
            ({2: 3.5, 4: 3.5, 8: 3.5}, None),
            ({2: 4.5, 4: 4.5, 8: 4.5}, None),  # the base is as good
        ],
    )
    def test_ranks(self, losses: dict[int, float], said: str | None) -> None:
        finding = found(certified_record(losses)).get("full_not_tried")
        assert (finding is not None) == (said is not None)
        if finding is not None and said is not None:
            assert finding.text.startswith(said)

    def test_arms(self) -> None:
        assert "full_not_tried" in found(arms_record((0.9, 0.8, 0.7)))
        assert "full_not_tried" not in found(arms_record((0.9, 0.8, 0.7, 0.3)))

    def test_cuts(self) -> None:
        kinds = found(certified_record({8: 0.6, 16: 0.5, 32: 0.3}, ladder_by="cut"))
        assert {"still_improving", "full_not_tried"} <= set(kinds)

    def test_equal_ranks_with_much_noise_are_not_still_improving(self) -> None:
        random = np.random.default_rng(5)
        alarms, beyond = 0, 0
        for _ in range(150):
            losses = 0.3 + 0.1 * random.standard_normal((2, 3, 1)) + 0.01 * random.standard_normal((2, 3, EXAMPLES))
            verdict = judge(losses, (4, 8), margin=0.01, base=np.full(EXAMPLES, 4.0))
            alarms += still_improving(verdict, certified_record({4: 0.3, 8: 0.3})) is not None
            beyond += verdict.mean[0] - verdict.mean[1] > verdict.margin_in_loss
        assert alarms / 150 <= ALPHA
        assert beyond / 150 > 4 * ALPHA  # the estimates alone say so far more often


def overfitted(
    record: StudyRecord, *, first: float = 4.0, last: float = 0.1, examples: int = 100, noise: float = 0.1
) -> StudyRecord:
    """The study with training losses: falling from `first` to `last` on that many examples, 400 of which are seen."""
    certification = record.certification
    assert certification is not None

    def with_history(trial: TrialRecord) -> TrialRecord:
        start = first + noise * (trial.seed - 1)
        history = tuple(StepLoss(step, start if step == 1 else last, 1e-3) for step in range(1, 101))
        return replace(trial, result=replace(trial.result, history=history))

    trained = replace(certification, trials=tuple(map(with_history, certification.trials)))
    return replace(record, certification=trained, available={"train": examples})


class TestMemorized:
    """Data too small: the base has 4.0, and training ends at 0.1 on its own examples."""

    LITTLE = dict.fromkeys((2, 4, 8), 3.0)

    def test_little_of_the_gain_holds_for_other_examples(self) -> None:
        finding = found(overfitted(certified_record(self.LITTLE)))["data_too_small"]
        assert finding.text.startswith(
            "The training data are few: rank 2 memorizes them. In 4 passes over 100 examples, its loss on them falls from 4.00 to 0.10, "
            "but on certify only from 4.00 to 3.00: 25.6 % of that gain holds for other examples (at most "
        )
        assert finding.next is not None
        assert "train.steps=25" in finding.next.command

    @pytest.mark.parametrize(
        "record",
        [
            overfitted(certified_record(dict.fromkeys((2, 4, 8), 0.5))),
            overfitted(certified_record(dict.fromkeys((2, 4, 8), 2.1))),
            overfitted(certified_record(LITTLE), examples=201),
            overfitted(certified_record(LITTLE), last=2.5),
            overfitted(certified_record(LITTLE), first=1.5),
            overfitted(certified_record(LITTLE), noise=3.0),
            overfitted(certified_record({2: 3.2, 4: 3.1, 8: 3.0})),
            replace(overfitted(certified_record(LITTLE)), available={}),
            overfitted(certified_record(LITTLE, seeds=1)),
        ],
        ids=[
            "most of it holds",
            "nearly half of it holds",
            "under two passes",
            "little is learned",
            "the training examples are easier",
            "the first losses differ",
            "a larger rank helps",
            "an older record",
            "one seed",
        ],
    )
    def test_not_found(self, record: StudyRecord) -> None:
        assert "data_too_small" not in found(record)

    def test_worse_than_the_base(self) -> None:
        kinds = found(overfitted(certified_record(dict.fromkeys((2, 4, 8), 4.4))))
        assert {"base_as_good", "data_too_small"} <= set(kinds)
        assert kinds["base_as_good"].next is None  # longer training is not what helps
        assert " 0 % of that gain holds" in kinds["data_too_small"].text

    def test_cuts_are_of_one_training(self) -> None:
        record = overfitted(certified_record({8: 3.02, 16: 3.01, 32: 3.0}, ladder_by="cut"))
        assert "rank 32 memorizes them" in found(record)["data_too_small"].text

    def test_arms(self) -> None:
        record = overfitted(arms_record((3.5, 3.0, 3.0, 3.0)))
        assert "LoRA at rank 2 memorizes them" in found(record)["data_too_small"].text

    def test_a_share_of_half_is_seldom_called_less(self) -> None:
        random = np.random.default_rng(6)
        alarms = bold = 0
        for _ in range(STUDIES):
            hard = 0.3 * random.standard_normal(EXAMPLES)
            base = 4.0 + hard + 0.2 * random.standard_normal(EXAMPLES)
            table = 2.0 + hard + 0.1 * random.standard_normal((3, 1)) + 0.1 * random.standard_normal((3, EXAMPLES))
            first, last = 4.0 + 0.3 * random.standard_normal(3), 0.0 + 0.02 * random.standard_normal(3)
            given_losses = (table, base, np.ones(EXAMPLES), first, last)
            alarms += keeps_less(*given_losses, ALPHA, 0.5)
            bold += keeps_less(*given_losses, 4 * ALPHA, 0.5)
        assert alarms / STUDIES <= allowed()
        assert bold / STUDIES > allowed()


def allowed() -> float:
    return float(ALPHA + 2.5 * np.sqrt(ALPHA * (1 - ALPHA) / STUDIES))


BEST, BASE, SHARE = 0.2, 4.7, 0.1
ARMS = tuple(
    LadderArm(Arm(rank, 2.0 if rank else 0.0, 0.0, (), 0.0, "lora" if rank else "full"), name, 1e-3, (1e-4, 1e-2), cost)
    for rank, name, cost in ((2, "r2", 1.0), (8, "r8", 2.0), (32, "r32", 3.0), (0, "full", 4.0))
)
DECLARED = Declaration((1, 2), 3, SHARE, "gain", ALPHA).with_arms(ARMS)


def drawn(truth: Sequence[float], noise: Sequence[float], random: np.random.Generator, seeds: int = 3) -> LadderData:
    """A study of the arms whose losses are `truth` margins above the best."""
    expected = BEST + SHARE * (BASE - BEST) * np.array(truth)
    shared = 0.3 * random.standard_normal(EXAMPLES)
    seed = 0.1 * np.array(noise)[:, None, None] * random.standard_normal((len(truth), seeds, 1))
    own = 0.05 * random.standard_normal((len(truth), 1, EXAMPLES))
    losses = (
        expected[:, None, None] + seed + own + shared + 0.03 * random.standard_normal((len(truth), seeds, EXAMPLES))
    )
    return data_of(losses, BASE + shared + 0.3 * random.standard_normal(EXAMPLES))


def data_of(losses: Array, base: Array) -> LadderData:
    return LadderData(
        ranks=DECLARED.ladder[: len(losses)],
        losses=tuple(losses),
        answered=False,
        costs=None,
        tokens=np.ones(losses.shape[-1]),
        base=base,
        base_costs=None,
        looks=(losses.shape[1],),
        left_out=(),
        pending=(),
    )


class TestFalseAlarms:
    """At most alpha where the truth is no gap, or one as large as the margin."""

    @pytest.mark.parametrize("noise", [(1, 1, 1, 1), (1, 1, 1, 4), (4, 4, 1, 1)])
    @pytest.mark.parametrize("truth", [(0, 0, 0, 0), (2, 2, 1, 0)])
    def test_far_from_full(self, truth: tuple[float, ...], noise: tuple[float, ...]) -> None:
        random = np.random.default_rng(7)
        studies = [drawn(truth, noise, random) for _ in range(STUDIES // 2)]
        alarms = np.mean([far_from_full(data, DECLARED, ALPHA) is not None for data in studies])
        assert alarms <= allowed()
        if truth[2] and max(noise) == 1:  # the check can fail
            assert np.mean([far_from_full(data, DECLARED, 4 * ALPHA) is not None for data in studies]) > allowed()

    @pytest.mark.parametrize("truth", [(0, 0, 0, -3), (3, 1, 0, -3), (0, 0, 0, 0)])
    def test_rank_ceiling(self, truth: tuple[float, ...]) -> None:
        random = np.random.default_rng(8)
        studies = [drawn(truth, (1, 1, 1, 1), random) for _ in range(STUDIES // 2)]
        assert np.mean([rank_ceiling(data, DECLARED, ALPHA) is not None for data in studies]) <= allowed()

    def test_a_clear_gap_is_found(self) -> None:
        random = np.random.default_rng(9)
        far = [far_from_full(drawn((4, 3.5, 3.5, 0), (1,) * 4, random), DECLARED, ALPHA) for _ in range(50)]
        assert np.mean([each is not None for each in far]) > 0.9
        rising = [rank_ceiling(drawn((9, 6, 3, 0), (0.5,) * 4, random), DECLARED, ALPHA) for _ in range(50)]
        assert np.mean([each is not None for each in rising]) > 0.9


losses_of_arms = st.lists(st.floats(0.1, 3.5), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(losses_of_arms, st.floats(0, 0.2), st.integers(0, 2**16))
def test_whatever_the_losses_the_rules_hold(means: list[float], sd: float, draw: int) -> None:
    random = np.random.default_rng(draw)
    losses = (
        np.array(means)[:, None, None]
        + sd * random.standard_normal((4, 3, 1))
        + 0.05 * random.standard_normal((4, 3, 8))
    )
    base = 4.0 + 0.1 * random.standard_normal(8)
    data = data_of(losses, base)
    far, ceiling = far_from_full(data, DECLARED, ALPHA), rank_ceiling(data, DECLARED, ALPHA)
    observed = losses.mean(axis=(1, 2))
    margin = SHARE * (base.mean() - observed[3])
    if far is not None:
        assert observed[:3].min() - observed[3] > margin
        assert far.gap == pytest.approx(observed[:3].min() - observed[3])
        assert far.at_least <= far.gap
        assert far.kept is not None
        assert far.kept_at_most is not None
        assert far.kept <= far.kept_at_most + 1e-6 <= 1 - SHARE + 1e-5
    if ceiling is not None:
        assert far is not None
        assert observed[2] < observed[:2].min()
        assert ceiling.far == far
    # the same constant on every loss is no information
    shifted = far_from_full(data_of(losses + 1.0, base + 1.0), DECLARED, ALPHA)
    assert (shifted is None) == (far is None) or math.isclose(observed[:3].min() - observed[3], margin, rel_tol=0.1)
    # nor is the order in which the arms are listed
    turned = Declaration((1, 2), 3, SHARE, "gain", ALPHA).with_arms(ARMS[::-1])
    again = far_from_full(replace(data_of(losses[::-1], base), ranks=turned.ladder), turned, ALPHA)
    assert (again is None) == (far is None)
