"""A study's answer from its records: what is compared, what the status is, and the sentences a person reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.records import Certification, Declaration, Status, StudyRecord, TrialRecord
from sweep.verdict import State
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion
from tests.conftest import arm, certified_record, result, study_record

FALLING = {2: 0.9, 4: 0.6, 8: 0.45, 16: 0.30}
INFEASIBLE = (Status.INFEASIBLE, "out of memory")


def concluded(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def certification(record: StudyRecord) -> Certification:
    assert record.certification is not None
    return record.certification


def with_certification(record: StudyRecord, **changes: object) -> StudyRecord:
    return replace(record, certification=replace(certification(record), **changes))  # type: ignore[arg-type]


def without_trials(record: StudyRecord, rank: int, first_seed: int = 0) -> StudyRecord:
    kept = tuple(trial for trial in certification(record).trials if trial.rank != rank or trial.seed < first_seed)
    return with_certification(record, trials=kept)


def test_smallest_rank_within_the_margin_is_certified() -> None:
    found = concluded(certified_record())
    assert (found.status, found.rank, found.bracket, found.reasons) == ("certified", 8, (8, 8), ())
    assert found.margin_in_loss == pytest.approx(0.037)
    assert found.findings == ()
    assert found.settle is None


def test_same_record_gives_the_same_conclusion() -> None:
    record = certified_record(seed_noise=0.02)
    assert conclude(record) == conclude(replace(record))


@pytest.mark.parametrize(
    "record",
    [
        study_record([result(arm(8), 0.3)]),
        certified_record({}, failures={2: INFEASIBLE, 4: INFEASIBLE}),
        with_certification(certified_record(), trials=()),
    ],
    ids=["explored only", "no trial is complete", "no trial yet"],
)
def test_without_a_complete_certify_trial_there_is_no_conclusion(record: StudyRecord) -> None:
    assert conclude(record) is None


def test_noise_leaves_the_verdict_undecided_and_says_how_many_seeds_would_do() -> None:
    found = concluded(certified_record(seed_noise=0.02))
    assert (found.status, found.rank) == ("undecided", None)
    assert found.verdict is not None
    assert found.verdict.seeds_needed is not None
    assert found.reasons == found.verdict.reasons
    assert f"With {found.verdict.seeds_needed} seeds per rank (now 3), it would probably be decided." in found.headline


# what is compared


@pytest.mark.parametrize("rank", [64, 16, 1])
def test_rank_that_fails_is_left_out_and_named(rank: int) -> None:
    losses = {2: 0.45, 4: 0.36, 8: 0.30, 32: 0.30}
    found = concluded(certified_record(losses, failures={rank: INFEASIBLE}))
    assert (found.status, found.rank) == ("certified", 8)
    assert found.verdict is not None
    assert rank not in found.verdict.ranks
    assert [(left.rank, left.status, left.reason) for left in found.left_out] == [(rank, "infeasible", "out of memory")]
    (finding,) = found.findings
    assert finding.kind == "not_every_rank"
    assert f"Rank {rank} does not fit into memory (infeasible: out of memory)." in finding.text
    assert "The verdict covers only ranks 2, 4, 8 and 32." in finding.text


def test_rank_with_one_failed_seed_is_no_reference() -> None:
    record = certified_record()
    trials = list(certification(record).trials)
    place = next(i for i, trial in enumerate(trials) if trial.rank == 32)
    broken = replace(trials[place].result, status=Status.FAILED, reason="diverged", measures=None)
    trials[place] = TrialRecord(trials[place].number, broken, trials[place].run_id)
    found = concluded(with_certification(record, trials=tuple(trials)))
    assert found.verdict is not None
    assert found.verdict.ranks == (2, 4, 8, 16)
    assert found.left_out[0].reason == "diverged"


def test_rank_that_is_not_trained_to_the_first_look_keeps_all_undecided() -> None:
    found = concluded(without_trials(certified_record(), 32, first_seed=2))
    assert (found.status, found.rank) == ("undecided", None)
    assert found.reasons[0] == "Rank 32 is not fully trained yet."
    assert found.verdict is not None
    assert found.verdict.rank == 8


def test_rank_shown_inferior_needs_no_more_seeds() -> None:
    record = certified_record(seeds=5, looks=(3, 5))
    found = concluded(without_trials(record, 2, first_seed=3))
    assert (found.status, found.rank) == ("certified", 8)
    assert found.verdict is not None
    assert found.verdict.state[0] is State.INFERIOR


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            with_certification(certified_record(), looks=()),
            "The verdict is not computed yet: 3 seeds per rank so far.",
        ),
        (certified_record(seeds=1), "With one seed per rank"),
        (certified_record({8: 0.3}), "Rank 8 is the only one that could be compared."),
        (certified_record(base_loss=None), "The unadapted base was not evaluated on certify"),
        (
            certified_record(base_loss=0.25),
            "Fine-tuning gains nothing here: the base's loss is 0.2500, that of the best rank (8)",
        ),
        (certified_record(margin_of="metric", answers=False), "There is no accuracy per example"),
    ],
)
def test_without_statistics_the_first_reason_says_why(record: StudyRecord, reason: str) -> None:
    found = concluded(record)
    assert (found.status, found.rank, found.verdict) == ("undecided", None, None)
    assert found.reasons[0].startswith(reason)


def test_reasons_say_why_the_study_stopped() -> None:
    found = concluded(certified_record(seed_noise=0.02, stopped="budget.wall_clock=25 min is spent"))
    assert found.reasons[-1] == "Stopped early: budget.wall_clock=25 min is spent."


@settings(deadline=None, max_examples=30)
@given(
    losses=st.dictionaries(st.sampled_from([2, 4, 8, 16]), st.floats(0.05, 4.5), min_size=1),
    margin_of=st.sampled_from(["gain", "loss", "metric"]),
    seeds=st.integers(1, 3),
)
def test_status_and_rank_agree_whatever_the_losses_are(losses: dict[int, float], margin_of: str, seeds: int) -> None:
    found = concluded(certified_record(losses, margin_of=margin_of, seeds=seeds, examples=20))
    assert (found.rank is None) == (found.status == "undecided")
    assert found.headline
    if found.status != "certified":
        assert found.reasons or found.has_finding("base_as_good")
    if found.rank is not None:
        assert found.bracket[1] == found.rank


# guards


@pytest.mark.parametrize(("rank", "guarded"), [(2, False), (4, True), (8, True), (32, True)])
def test_rate_at_the_edge_makes_the_answer_provisional_if_it_depends_on_that_rank(rank: int, guarded: bool) -> None:
    found = concluded(certified_record(at_edge=(rank,)))
    assert (found.status, found.rank) == ("provisional" if guarded else "certified", 8)
    if guarded:
        (reason,) = found.reasons
        assert reason.startswith(f"Rank {rank} does best at the highest learning rate allowed (4.0e-03)")
        assert reason.endswith("raise search.space.learning_rate.high.")


def test_edge_is_named_by_its_side() -> None:
    found = concluded(certified_record(at_edge=(4,), tried={4: [(5e-4, 0.3), (1e-3, 0.4)]}))
    assert "does best at the lowest learning rate allowed (5.0e-04)" in found.reasons[0]
    assert "lower search.space.learning_rate.low." in found.reasons[0]


def judged_at(record: StudyRecord, rank: int, rate: float) -> StudyRecord:
    choices = tuple(
        replace(choice, learning_rate=rate) if choice.rank == rank else choice for choice in certification(record).rates
    )
    return with_certification(record, rates=choices)


@pytest.mark.parametrize(("neighbour", "flipped"), [(0.27, True), (0.285, False)])
def test_smaller_rank_that_a_neighbouring_rate_would_bring_within_the_margin(neighbour: float, flipped: bool) -> None:
    # rank 4 is 0.06 above the best and the margin is 0.037: 0.023 less would do
    record = certified_record(tried={4: [(1e-3, 0.4), (2e-3, 0.3), (4e-3, neighbour)]})
    found = concluded(judged_at(record, 4, 2e-3))
    assert found.status == ("provisional" if flipped else "certified")
    if flipped:
        assert found.reasons[0].startswith(
            "Rank 4 may be enough: on tune, its loss at learning rate 4.0e-03 was 0.03 lower"
        )


@pytest.mark.parametrize(("neighbour", "flipped"), [(0.25, True), (0.27, False)])
def test_larger_rank_that_a_neighbouring_rate_would_make_better_by_more_than_the_margin(
    neighbour: float, flipped: bool
) -> None:
    record = certified_record(tried={32: [(1e-3, neighbour), (2e-3, 0.3), (4e-3, 0.4)]})
    found = concluded(judged_at(record, 32, 2e-3))
    assert found.status == ("provisional" if flipped else "certified")
    if flipped:
        assert found.reasons[0].startswith("Rank 32 may be better than it looks")


def test_only_neighbours_of_a_rate_that_was_tried_can_flip_the_answer() -> None:
    far = certified_record(tried={4: [(1e-3, 0.4), (2e-3, 0.35), (4e-3, 0.34), (8e-3, 0.1)]})
    assert concluded(judged_at(far, 4, 2e-3)).status == "certified"
    untried = certified_record(tried={4: [(1e-3, 0.4), (4e-3, 0.1)]})
    assert concluded(judged_at(untried, 4, 2e-3)).status == "certified"


@pytest.mark.parametrize(
    "later",
    [
        Declaration((2, 4, 8, 16, 32), 3, 0.05, "gain", 0.05),
        Declaration((2, 4, 8, 16, 32), 3, 0.01, "loss", 0.05),
        Declaration((2, 4, 8, 16, 32), 3, 0.01, "gain", 0.1),
    ],
)
def test_margin_changed_after_results_is_ignored(later: Declaration) -> None:
    found = concluded(certified_record(declared=later))
    assert (found.status, found.rank) == ("provisional", 8)
    assert found.verdict is not None
    assert (found.verdict.margin, found.verdict.margin_of, found.verdict.alpha) == (0.01, "gain", 0.05)
    assert "The margin was changed after there were results, from 0.01 of gain (alpha 0.05) to" in found.reasons[0]
    assert found.has_finding("margin_changed")


def test_rows_that_training_has_seen_are_a_finding() -> None:
    record = certified_record()
    assert not concluded(record).has_finding("seen_before")
    found = concluded(replace(record, seen_before={"certify": (95, 100), "test": (3, 4)}))
    (text,) = (finding.text for finding in found.findings if finding.kind == "seen_before")
    assert text.startswith(
        "Certify: 95 of 100 rows are left out of judging, because their prompt is in train or tune, too;"
    )
    assert text.endswith(
        "Test: 3 of 4 rows are left out of judging, because their prompt is in train, too; that leaves 1."
    )
    assert text in found.notes()


def test_more_seeds_or_a_longer_ladder_change_no_declaration() -> None:
    later = Declaration((2, 4, 8, 16, 32), 8, 0.01, "gain", 0.05)
    assert concluded(certified_record(declared=later)).status == "certified"


# the task metric


def test_metric_is_tested_with_the_margin_in_points() -> None:
    found = concluded(certified_record())
    assert found.margin_in_metric == pytest.approx(0.2 * 0.037, rel=0.05)
    assert found.metric_verdict is not None
    assert found.metric_verdict.margin == found.margin_in_metric
    assert found.metric_note is None


def test_metric_that_is_not_a_mean_of_scores_is_not_tested() -> None:
    record = certified_record(metric="macro_f1")
    trials = tuple(
        replace(scored, scores=tuple(min(1.0, score + 0.05) for score in scored.scores))
        for scored in certification(record).trials
    )
    found = concluded(with_certification(record, trials=trials))
    assert found.metric_verdict is None
    assert (
        found.metric_note
        == "The metric macro_f1 is not a mean of scores per example, so ranks were not compared in it."
    )
    assert found.status == "certified"


def test_without_answers_there_is_no_metric_test() -> None:
    found = concluded(certified_record(answers=False))
    assert found.metric_note == "There is no accuracy per example, so ranks were not compared in it."
    assert found.status == "certified"


def test_margin_in_points_decides_on_the_metric() -> None:
    found = concluded(certified_record(margin_of="metric", margin=0.015))
    assert (found.status, found.rank) == ("certified", 4)
    assert found.metric_verdict is None
    assert found.margin_in_metric == 0.015
    assert found.margin_in_loss == pytest.approx(0.015 / 0.2, rel=0.1)


# the headline


@pytest.mark.parametrize(
    ("record", "sentences"),
    [
        (
            certified_record(),
            [
                "Rank 8 is enough. It keeps at least 99 % of what the best of ranks 2 to 32 gains from fine-tuning "
                "(95 % confidence).",
                "Ranks 2 and 4 are too small.",
                "Here 1 % of the gain is 0.037 nats per token, about 0.74 points of accuracy.",
            ],
        ),
        (
            certified_record(margin_of="loss", margin=0.1, alpha=0.1),
            [
                "Its loss is at most 10 % above that of the best of ranks 2 to 32 (90 % confidence).",
                "10 % of the loss is 0.03 nats",
            ],
        ),
        (
            certified_record(margin_of="metric", margin=0.015, metric="set_f1"),
            [
                "Rank 4 is enough. Its set_f1 is at most 1.5 points below that of the best of ranks 2 to 32",
                "Rank 2 is too small.",
            ],
        ),
        (
            certified_record({2: 0.3, 4: 0.3, 8: 0.3}),
            ["Rank 2 is enough.", "It is the smallest rank of the ladder: smaller ones were not tried."],
        ),
        (certified_record(at_edge=(8,)), ["Rank 8 is enough, provisionally."]),
        (
            certified_record({2: 0.45, 4: 0.335, 8: 0.30, 16: 0.30}),
            ["(95 % confidence)", "Rank 2 is too small.", "Whether rank 4 is enough is open (bracket 4..8)."],
        ),
        (
            certified_record(seed_noise=0.02),
            [
                "No rank is certified yet. Rank 2 is too small (95 % confidence).",
                "The smallest rank that is enough is between 4 and 32.",
            ],
        ),
        (
            certified_record(base_loss=0.25),
            ["The base model is as good without an adapter, so no fine-tuning is needed here."],
        ),
        (with_certification(certified_record(), looks=()), ["No rank is certified yet."]),
    ],
    ids=["gain", "loss", "metric", "smallest", "provisional", "open", "undecided", "base", "no look"],
)
def test_headline_says_what_is_known(record: StudyRecord, sentences: list[str]) -> None:
    headline = concluded(record).headline
    for sentence in sentences:
        assert sentence in headline


@pytest.mark.parametrize(
    "recorded",
    [
        "the limit of 3 seeds per rank is reached (certify.seeds=3)",
        "certify.seeds=3: every rank that is open has its seeds",
    ],
    ids=["this version", "an earlier one"],
)
def test_limit_of_seeds_is_named_whatever_version_recorded_it(recorded: str) -> None:
    found = concluded(certified_record(seed_noise=0.02, stopped=recorded))
    assert found.reasons[-1] == "Stopped at the limit of 3 seeds per rank (certify.seeds=3)."
