"""The answer on a ladder that is cut from its largest rank: what it claims, finds, hands out and proposes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.records import Certification, RateChoice, Stage, Status, StudyRecord, TrialRecord, TrialResult
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen, on_test
from sweep.verdict.verdict_json import verdict_json
from tests.conftest import certified_record

LOSSES = {2: 0.45, 4: 0.315, 8: 0.303, 16: 0.301, 32: 0.30}
"""Rank 4 loses less than the margin of 0.037, rank 2 more."""


def cut(losses: dict[int, float] = LOSSES, **changes: Any) -> StudyRecord:
    return certified_record(losses, ladder_by="cut", **changes)


def certification_of(record: StudyRecord) -> Certification:
    assert record.certification is not None
    return record.certification


def changed(record: StudyRecord, **changes: Any) -> StudyRecord:
    return replace(record, certification=replace(certification_of(record), **changes))


def answer(record: StudyRecord) -> Conclusion:
    conclusion = conclude(record)
    assert conclusion is not None
    return conclusion


def confirmed(trained: dict[int, float], **changes: Any) -> StudyRecord:
    """The cut ladder, with these ranks trained from the start as well."""
    trials = certification_of(certified_record(trained, **changes)).trials
    confirming = [
        replace(trial, result=replace(trial.result, spec=replace(trial.spec, stage=Stage.CONFIRM))) for trial in trials
    ]
    return changed(cut(), confirmed=tuple(confirming))


def test_the_claim_is_about_adapters_that_are_cut() -> None:
    said = answer(cut())
    assert (said.status, said.rank, said.bracket, said.hands_out) == ("certified", 4, (4, 4), 4)
    assert said.headline.startswith(
        "Rank 4 is enough to ship: adapters cut to rank 4 keep at least 99 % of what rank 32 gains from fine-tuning (95 % confidence). "
        "Rank 2 is too small."
    )
    trained = answer(certified_record(LOSSES))
    assert trained.headline.startswith(
        "Rank 4 is enough. It keeps at least 99 % of what the best of ranks 2 to 32 gains"
    )


@pytest.mark.parametrize(
    ("of", "margin", "claim"),
    [
        ("loss", 0.1, "adapters cut to rank 4 have a loss at most 10 % above that of rank 32 (95 % confidence)."),
        (
            "metric",
            0.01,
            "adapters cut to rank 4 have a accuracy at most 1 point below that of rank 32 (95 % confidence).",
        ),
    ],
)
def test_the_claim_names_the_unit_of_the_margin(of: str, margin: float, claim: str) -> None:
    said = answer(cut(margin_of=of, margin=margin))
    assert f"Rank 4 is enough to ship: {claim}" in said.headline


def test_a_rank_that_cannot_be_cut_is_needed_whole() -> None:
    said = answer(cut({8: 0.9, 16: 0.6, 32: 0.3}))
    assert said.rank == 32
    assert "Rank 32 is needed whole: no cut of it is shown to keep 99 % of what it gains" in said.headline
    assert said.has_finding("still_improving")
    assert "they lose 0.3" in " ".join(finding.text for finding in said.findings)
    assert said.settle is not None
    assert "certify.ladder=[8,16,32,64]" in said.settle[0]


def test_a_better_cut_is_found_and_handed_out() -> None:
    record = cut({2: 0.15, 4: 0.22, 8: 0.27, 32: 0.30})
    said = answer(record)
    assert said.rank == said.hands_out == 2
    assert said.has_finding("cut_is_better")
    assert not said.has_finding("overfitting")
    text = next(finding.text for finding in said.findings if finding.kind == "cut_is_better")
    assert text.startswith("Cutting helps: adapters cut to rank")
    assert "most at rank 2 (by 0.15)" in text


def test_the_adapter_handed_out_is_the_better_cut_if_the_certified_rank_is_behind_it() -> None:
    record = cut({2: 0.25, 4: 0.2, 8: 0.25, 32: 0.30}, final=(4, 32))
    said = answer(record)
    assert (said.rank, said.hands_out) == (2, 4)
    trial = chosen(record, said)
    assert trial is not None
    assert (trial.rank, trial.arm.cut_from) == (4, 32)
    assert on_test(record, said)["goldilocks"].rank == 4
    written = verdict_json(record, said, "2026-01-31T12:00:00+00:00")
    assert (written["rank"], written["hands_out"], written["adapter_config"]["r"]) == (2, 4, 4)
    assert "So the adapter that is handed out is cut to rank 4, not to rank 2." in str(written["findings"])


def test_only_the_largest_rank_has_a_rate_that_counts() -> None:
    assert answer(cut(at_edge=(4,))).status == "certified"
    at_edge = answer(cut(at_edge=(32,)))
    assert at_edge.status == "provisional"
    assert "Rank 32 does best at the highest learning rate allowed" in at_edge.reasons[0]
    choice = RateChoice(4, 1e-2, ((1e-2, 0.2),), at_edge=True)
    confirming = cut()
    confirming = changed(confirming, rates=(*certification_of(confirming).rates, choice))
    assert answer(confirming).status == "certified", "the rate of the confirming trials is not that of the cuts"
    assert not any(rung.at_edge for rung in answer(confirming).ladder)


def test_without_a_result_of_the_largest_rank_there_is_no_reference() -> None:
    record = cut()
    trials = [
        TrialRecord(trial.number, TrialResult(trial.spec, Status.FAILED, "diverged: the loss was nan at step 3"))
        if (trial.rank, trial.seed) == (32, 1)
        else trial
        for trial in certification_of(record).trials
    ]
    said = answer(changed(record, trials=tuple(trials), looks=()))
    assert (said.status, said.rank) == ("undecided", None)
    assert said.reasons[0].startswith(
        "Rank 32, which smaller ranks are cut from and compared with, has a trial without a result"
    )


def test_a_cut_without_a_result_leaves_out_its_rank_alone() -> None:
    record = cut()
    trials = [
        TrialRecord(trial.number, TrialResult(trial.spec, Status.FAILED, "made up"))
        if (trial.rank, trial.seed) == (8, 1)
        else trial
        for trial in certification_of(record).trials
    ]
    said = answer(changed(record, trials=tuple(trials)))
    assert (said.status, said.rank) == ("certified", 4)
    assert [left.rank for left in said.left_out] == [8]


def test_seeds_are_paired_while_trials_are_missing() -> None:
    """Cuts of a seed may end in any order."""
    record = cut(seeds=4)
    certification = certification_of(record)
    kept = [trial for trial in certification.trials if (trial.rank, trial.seed) != (4, 1)]
    said = answer(changed(record, trials=tuple(kept), looks=(2,)))
    assert said.status == "undecided"
    assert "Rank 4 is not fully trained yet." in said.reasons


def test_the_table_has_the_energy_that_each_cut_keeps() -> None:
    kept = {rung.rank: rung.energy_kept for rung in answer(cut()).ladder}
    assert kept[32] is None
    assert kept[16] == pytest.approx(1 - 0.28 / 16)
    written = verdict_json(cut(), answer(cut()), "2026-01-31T12:00:00+00:00")
    assert [row["energy_kept"] for row in written["ladder"]] == [kept[rank] for rank in (2, 4, 8, 16, 32)]
    assert (written["ladder_by"], written["cut_from"]) == ("cut", 32)


@pytest.mark.parametrize(
    ("loss", "noise", "agree", "words"),
    [
        (0.31, 0.003, True, "Both agree within the margin of 0.037."),
        (0.2, 0.003, False, "Training is better by more than the margin of 0.037."),
        (0.6, 0.003, False, "Cutting is better by more than the margin of 0.037."),
        (0.31, 0.2, None, "Whether both agree within the margin of 0.037 is open."),
    ],
)
def test_a_confirmation_says_whether_training_and_cutting_agree(
    loss: float, noise: float, agree: bool | None, words: str
) -> None:
    said = answer(confirmed({4: loss, 8: 0.3}, seed_noise=noise))
    assert said.confirmation is not None
    assert said.confirmation.agree is agree
    assert said.confirmation.seeds == 3
    assert said.confirmation.difference == pytest.approx(loss - 0.315, abs=1e-9)
    text = next(finding.text for finding in said.findings if finding.kind == "confirmation")
    assert text.startswith("Trained at rank 4 from the start (3 seeds, learning rate 2.0e-03), adapters have a loss of")
    assert words in text
    assert (said.status, said.rank) == ("certified", 4), "the claim is about cut adapters"


def test_a_confirmation_of_another_rank_is_not_shown() -> None:
    assert answer(confirmed({8: 0.3, 16: 0.3})).confirmation is None


def test_a_further_seed_is_one_training_and_the_open_cuts() -> None:
    close = cut({2: 0.45, 4: 0.335, 8: 0.303, 32: 0.30}, seed_noise=0.03)
    certification = certification_of(close)
    timed = [
        replace(trial, result=replace(trial.result, seconds=100.0 if trial.rank == 32 else 2.0))
        for trial in certification.trials
    ]
    close = changed(close, trials=tuple(timed))
    more = replace(close, declaration=replace(close.declaration, seeds=5))
    said = answer(more)
    assert said.verdict is not None
    if said.verdict.futile is None:
        assert said.settle == (more.command, 2 * (100.0 + 2.0))
    else:
        assert said.settle is None or said.settle[0] != more.command


def test_whoever_raises_the_declared_limit_gets_the_seeds_however_futile() -> None:
    record = certified_record({2: 0.45, 4: 0.337, 8: 0.3}, seed_noise=0.05, ladder_by="cut")
    declared = replace(record.declaration, seeds=4)
    within = replace(changed(record, declared=declared), declaration=declared)
    verdict = answer(within).verdict
    assert verdict is not None
    assert verdict.futile is not None
    assert answer(within).reasons.count(verdict.futile) == 1
    asked = replace(record, declaration=declared)
    raised = answer(asked)
    assert raised.verdict is not None
    assert raised.verdict.futile is None
    assert raised.settle is not None
    assert raised.settle[0] == asked.command
