"""The conclusion on a ladder of arms: the cheapest method that is enough, its cost, and an order that turns out wrong."""

from __future__ import annotations

import re
from dataclasses import replace

import jsonschema
import pytest

from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import Conclusion, chosen, on_test
from sweep.verdict.cost import cost_words, out_of_order
from sweep.verdict.ladder import RankResult
from sweep.verdict.verdict_json import verdict_json, verdict_schema
from tests.verdict.arm_ladders import ARMS, arms_record

CLEAR = (0.9, 0.3, 0.3, 0.3)
RANKS = re.compile(r"\branks?\b")


def conclusion_on(*losses: float, **about: object) -> Conclusion:
    conclusion = conclude(arms_record(losses, **about))  # type: ignore[arg-type]
    assert conclusion is not None
    return conclusion


def with_base(row: RankResult, size: int) -> RankResult:
    trials = (
        replace(trial, result=replace(trial.result, measures=replace(trial.measures, base_bytes=size)))
        for trial in row.trials
    )
    return replace(row, trials=tuple(trials))


def every_sentence(conclusion: Conclusion) -> list[str]:
    texts = [conclusion.headline, *conclusion.reasons, *(finding.text for finding in conclusion.findings)]
    return [re.sub(r"LoRA at rank \d", "LoRA", text) for text in texts]


def test_the_cheapest_method_that_is_enough() -> None:
    conclusion = conclusion_on(*CLEAR)
    assert (conclusion.status, conclusion.rank, str(conclusion.rank)) == ("certified", 2, "LoRA at rank 2")
    assert conclusion.headline.startswith(
        "LoRA at rank 2 is enough. It keeps at least 99 % of what the best of the 4 methods gains from fine-tuning (95 % confidence), "
        "at 1/1000 of the bytes of full fine-tuning. Prompt tuning (8 tokens) is not enough."
    )


def test_a_middle_method_may_be_best_and_the_dearest_worse() -> None:
    conclusion = conclusion_on(0.9, 0.31, 0.3, 0.6)
    assert str(conclusion.rank) == "LoRA at rank 2"
    (finding,) = (finding for finding in conclusion.findings if finding.kind == "overfitting")
    assert finding.text.startswith("Full fine-tuning costs more than LoRA at rank 8 and is worse by")
    assert not conclusion.has_finding("still_improving")


def test_the_cheapest_may_be_the_best() -> None:
    conclusion = conclusion_on(0.3, 0.6, 0.9, 0.7)
    assert str(conclusion.rank) == "prompt tuning (8 tokens)"
    assert "It is the cheapest method of the ladder: cheaper ones were not tried." in conclusion.headline


def test_only_the_most_expensive_is_enough() -> None:
    conclusion = conclusion_on(0.9, 0.8, 0.7, 0.3)
    assert str(conclusion.rank) == "full fine-tuning"
    assert "of the bytes" not in conclusion.headline
    assert "gains from fine-tuning (95 % confidence)." in conclusion.headline


@pytest.mark.parametrize(
    ("losses", "about"),
    [
        (CLEAR, {}),
        ((0.9, 0.31, 0.3, 0.6), {"at_edge": (2, 3)}),
        (
            (0.36, 0.35, 0.33, 0.34),
            {"seed_noise": 0.08, "stopped": "the limit of 3 seeds per method is reached (certify.seeds=3)"},
        ),
        ((4.1, 4.2, 4.05, 4.1), {}),
        (CLEAR, {"seeds": 1}),
        (CLEAR, {"failures": {}, "looks": (5,)}),
        (CLEAR, {"margin_of": "metric"}),
        (CLEAR, {"scores": {0: 0.4, 1: 0.2, 2: 0.3, 3: 0.2, 4: 0.41}}),
    ],
)
def test_no_sentence_speaks_of_ranks(losses: tuple[float, ...], about: dict[str, object]) -> None:
    for text in every_sentence(conclusion_on(*losses, **about)):
        assert not RANKS.search(text), text


def test_an_edge_says_what_to_change_in_the_ladder() -> None:
    conclusion = conclusion_on(*CLEAR, at_edge=(2,))
    assert conclusion.status == "provisional"
    assert "give it a higher learning_rate in certify.ladder to begin with" in " ".join(conclusion.reasons)
    assert conclusion.settle is None


class TestOrder:
    """Costs that are measured may turn out in another order than was declared."""

    def test_a_dearer_answer_is_provisional(self) -> None:
        conclusion = conclusion_on(*CLEAR, cost="train_seconds", measured=(5, 30, 20, 60))
        assert (conclusion.status, str(conclusion.rank)) == ("provisional", "LoRA at rank 2")
        assert conclusion.reasons[0] == (
            "LoRA at rank 8 may be the cheaper one that is enough. LoRA at rank 2 was declared cheaper than LoRA at rank 8 and turned out "
            "to cost more: train_seconds 30 against 20. Write certify.ladder in the order measured."
        )
        assert conclusion.has_finding("cost_order")

    def test_a_disorder_that_cannot_change_the_answer_is_a_note(self) -> None:
        conclusion = conclusion_on(*CLEAR, cost="train_seconds", measured=(30, 20, 60, 50))
        assert conclusion.status == "certified"
        assert conclusion.has_finding("cost_order")

    def test_a_cheaper_one_that_is_worse_does_no_harm(self) -> None:
        conclusion = conclusion_on(0.9, 0.3, 0.8, 0.3, cost="peak_memory", measured=(5, 30, 20, 60))
        assert conclusion.status == "certified"

    def test_of_equal_costs_the_smaller_base_comes_first(self) -> None:
        first, second = (
            row for row in conclusion_on(*CLEAR, measured=(5, 20, 20, 60)).ladder if row.adapter_bytes == 20
        )
        small, large = with_base(first, 100_000), with_base(second, 400_000)
        assert out_of_order([small, large], "adapter_bytes") == []
        (disorder,) = out_of_order([with_base(first, 400_000), with_base(second, 100_000)], "adapter_bytes")
        assert disorder.words() == (
            "LoRA at rank 2 was declared cheaper than LoRA at rank 8, costs the same and turned out to need a larger base: "
            "400,000 against 100,000 bytes."
        )
        assert (
            cost_words([small, large], 2, "adapter_bytes") == "on a base of 25 % of the bytes of that of LoRA at rank 8"
        )

    def test_in_order_nothing_is_said(self) -> None:
        assert not conclusion_on(*CLEAR).has_finding("cost_order")


def test_verdict_json_has_the_experiment_of_a_finding() -> None:
    record = arms_record((0.9, 0.52, 0.5, 0.3))
    contents = verdict_json(record, conclude(record), "2026-01-01T00:00:00+00:00")
    jsonschema.validate(contents, verdict_schema())
    (finding,) = contents["findings"]
    assert finding["kind"] == "far_from_full"
    assert finding["next"]["command"].startswith("python -m sweep +study=made")


def test_verdict_json_names_arms_and_costs() -> None:
    record = arms_record(CLEAR, final=(2, 4))
    conclusion = conclude(record)
    contents = verdict_json(record, conclusion, "2026-01-01T00:00:00+00:00")
    schema = verdict_schema()
    jsonschema.validate(contents, schema)
    assert set(contents) == set(schema["properties"])
    for row in contents["ladder"]:
        assert set(row) == set(schema["$defs"]["rung"]["properties"])
    assert (contents["rank"], contents["arm"], contents["cost"]) == (2, "LoRA at rank 2", "adapter_bytes")
    assert [row["arm"] for row in contents["ladder"]] == [arm.words for arm in ARMS]
    assert [row["cost"] for row in contents["ladder"]] == [row["cost_before"] for row in contents["ladder"]]
    assert [row["method"] for row in contents["ladder"]] == ["prompt_tuning", "lora", "lora", "full"]
    assert contents["ladder"][-1]["gap_to_full"] is None
    assert contents["ladder"][0]["gap_to_full"] == pytest.approx(0.6)
    assert {name: scores["rank"] for name, scores in contents["test"].items()} == {
        "base": 0,
        "goldilocks": 2,
        "largest": 4,
    }
    tested = on_test(record, conclusion)
    assert [trial.arm.method if trial.arm else None for trial in tested.values()] == [None, "lora", "full"]


def test_of_a_method_without_rank_verdict_json_has_its_own_parameters() -> None:
    record = arms_record((0.3, 0.6))
    contents = verdict_json(record, conclude(record), "2026-01-01T00:00:00+00:00")
    jsonschema.validate(contents, verdict_schema())
    assert contents["adapter_config"]["method"] == "prompt_tuning"
    assert contents["adapter_config"]["own"] == {"tokens": 8}


def test_the_adapter_of_the_chosen_arm_is_handed_out() -> None:
    record = arms_record(CLEAR)
    trial = chosen(record, conclude(record))
    assert trial is not None
    assert (trial.arm.method, trial.arm.rank) == ("lora", 2)


def test_the_present_ladder_does_not_change_the_one_declared_first() -> None:
    record = arms_record(CLEAR)
    turned = replace(record, declaration=record.declaration.with_arms(ARMS[::-1]))
    assert conclude(turned) == conclude(record)
