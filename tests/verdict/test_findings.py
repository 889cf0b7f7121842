"""What a person should know beside the verdict: each finding where it holds, and not where it does not."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sweep.records import StudyRecord, TrialRecord
from sweep.reports.page.answer import answer_of
from sweep.verdict.conclude import conclude
from sweep.verdict.verdict_json import verdict_json, verdict_schema
from tests.conftest import certified_record


def texts(record: StudyRecord) -> dict[str, str]:
    conclusion = conclude(record)
    assert conclusion is not None
    return {finding.kind: finding.text for finding in conclusion.findings}


def test_a_plain_study_has_none() -> None:
    assert texts(certified_record()) == {}


@pytest.mark.parametrize(
    ("losses", "improving"),
    [
        ({2: 0.6, 4: 0.45, 8: 0.30}, True),
        ({2: 0.45, 4: 0.32, 8: 0.30}, False),
        ({2: 0.30, 4: 0.45, 8: 0.60}, False),
    ],
)
def test_still_improving_if_the_largest_rank_beats_the_next_by_more_than_the_margin(
    losses: dict[int, float], improving: bool
) -> None:
    found = texts(certified_record(losses))
    assert ("still_improving" in found) == improving
    if improving:
        assert (
            "rank 8 is 0.15 below rank 4, and the margin is 0.037. A larger rank may be better still."
            in found["still_improving"]
        )


@pytest.mark.parametrize(
    ("base", "margin_of", "margin", "good"),
    [
        (0.25, "gain", 0.01, True),
        (0.301, "gain", 0.01, True),
        (0.40, "gain", 0.01, False),
        (0.31, "loss", 0.1, True),
        (0.40, "loss", 0.1, False),
    ],
)
def test_base_as_good_if_it_is_not_shown_to_be_worse(base: float, margin_of: str, margin: float, good: bool) -> None:
    found = texts(certified_record(base_loss=base, margin_of=margin_of, margin=margin))
    assert ("base_as_good" in found) == good


def test_base_as_good_uses_the_metric_with_a_margin_of_the_metric() -> None:
    scores = {0: 0.89, 2: 0.86, 4: 0.878, 8: 0.89, 16: 0.89, 32: 0.89}
    found = texts(certified_record(margin_of="metric", margin=0.02, scores=scores))
    assert "1 - accuracy 0.1100 against 0.1100 at rank 8" in found["base_as_good"]
    assert "base_as_good" not in texts(certified_record(margin_of="metric", margin=0.02))


@pytest.mark.parametrize(
    ("losses", "worse"),
    [
        ({2: 0.3, 4: 0.3, 8: 0.4, 16: 0.5}, "Ranks 8 and 16 are worse than rank 2 by 0.1 or more"),
        ({2: 0.4, 4: 0.3, 8: 0.4}, "Rank 8 is worse than rank 4 by 0.1 or more"),
        ({2: 0.5, 4: 0.4, 8: 0.3}, None),
        ({2: 0.3, 4: 0.3, 8: 0.32}, None),
    ],
)
def test_overfitting_if_the_largest_ranks_are_worse_beyond_the_margin(
    losses: dict[int, float], worse: str | None
) -> None:
    found = texts(certified_record(losses))
    assert ("overfitting" in found) == (worse is not None)
    if worse is not None:
        assert worse in found["overfitting"]


def test_wide_margin_if_it_is_worth_many_points() -> None:
    losses = {2: 0.29, 4: 0.28, 8: 0.27, 16: 0.26}
    worth = {0: 0.0, **{rank: 0.8 - 2 * (loss - 0.26) for rank, loss in losses.items()}}
    found = texts(certified_record(losses, base_loss=6.4, scores=worth, seed_noise=1e-6, margin=0.02))
    assert "2 % of the gain is worth about 25 points of accuracy here" in found["wide_margin"]
    assert "For a margin of 2 points, set certify.margin=0.0016" in found["wide_margin"]
    declared = certified_record(losses, base_loss=6.4, scores=worth, margin=0.25, margin_of="metric")
    assert "wide_margin" not in texts(declared)  # whoever declares points knows what they are worth


def test_metric_behind_if_the_chosen_rank_is_shown_to_be() -> None:
    losses = dict.fromkeys((2, 4, 8, 16), 0.30)
    worth = {0: 0.0, 2: 0.70, 4: 0.90, 8: 0.90, 16: 0.90}
    found = texts(certified_record(losses, base_loss=6.4, scores=worth, seed_noise=1e-4, margin=0.02, examples=400))
    assert found["metric_behind"].startswith("Rank 2 is measurably behind in accuracy: 0.700 against 0.900")
    near = {**worth, 2: 0.895}
    assert "metric_behind" not in texts(certified_record(losses, base_loss=6.4, scores=near, margin=0.02))


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({8: 0.80}, "Loss and accuracy disagree: rank 8 keeps the margin in loss but not in accuracy."),
        ({2: 0.89, 4: 0.89}, "Loss and accuracy disagree: ranks 2 and 4 keep the margin in accuracy but not in loss."),
        ({}, None),
    ],
)
def test_metric_disagrees_if_it_contradicts_the_loss(scores: dict[int, float], text: str | None) -> None:
    assert texts(certified_record(scores=scores)).get("metric_disagrees") == text


def test_metric_not_gained_comes_first_if_only_the_loss_gains() -> None:
    scores = {0: 0.57, **dict.fromkeys((2, 4, 8, 16, 32), 0.54)}
    conclusion = conclude(certified_record(scores=scores))
    assert conclusion is not None
    assert (conclusion.status, conclusion.rank) == ("certified", 8)
    assert conclusion.findings[0].kind == "metric_not_gained"
    assert conclusion.headline.startswith(
        "The loss falls, but accuracy does not rise: 0.540 with rank 8, 0.570 without an adapter (80 certify examples). "
        "By the loss alone, rank 8 is enough."
    )
    for advice in ("train.steps", "more data", "certify.margin_of=metric"):
        assert advice in conclusion.findings[0].text


@pytest.mark.parametrize(("gain", "shown"), [(0.0005, False), (0.2, True)])
def test_metric_not_gained_unless_the_gain_is_beyond_noise(gain: float, shown: bool) -> None:
    scores = {0: 0.5, **dict.fromkeys((2, 4, 8, 16, 32), 0.5 + gain)}
    found = texts(with_seeds_apart(certified_record(scores=scores), 0.02))
    assert ("metric_not_gained" not in found) == shown
    if not shown:
        assert "accuracy is not shown to rise: 0.500 with rank 8, 0.500 without" in found["metric_not_gained"]


def with_seeds_apart(record: StudyRecord, by: float) -> StudyRecord:
    """The study whose seeds differ in the task metric on certify, evenly around its mean: the first is lowest."""
    certification = record.certification
    assert certification is not None
    shifts = np.linspace(-by / 2, by / 2, record.declaration.seeds)

    def shifted(trial: TrialRecord) -> TrialRecord:
        scores = tuple(score + shifts[trial.seed] for score in trial.scores)
        assert trial.measures is not None
        measures = replace(trial.measures, metrics={record.metric: float(np.mean(scores))})
        return replace(trial, scores=scores, result=replace(trial.result, measures=measures))

    return replace(record, certification=replace(certification, trials=tuple(map(shifted, certification.trials))))


@pytest.mark.parametrize(("seeds", "by"), [(2, 0.08), (3, 0.12), (5, 0.2)])
def test_few_seeds_that_differ_much_do_not_show_a_gain_in_the_metric(seeds: int, by: float) -> None:
    """Gains of 1.8 to 2.5 standard errors between seeds: beyond the normal quantile of 1.64, not beyond Student's."""
    scores = {0: 0.5, **dict.fromkeys((2, 4, 8, 16, 32), 0.5 + {2: 0.1, 3: 0.085, 5: 0.073}[seeds])}
    assert "metric_not_gained" in texts(with_seeds_apart(certified_record(scores=scores, seeds=seeds), by))
    assert "metric_not_gained" not in texts(with_seeds_apart(certified_record(scores=scores, seeds=seeds), by / 40))


def test_metric_behind_takes_more_than_two_seeds_that_differ() -> None:
    losses = dict.fromkeys((2, 4), 0.30)
    record = certified_record(losses, base_loss=6.4, scores={0: 0.0, 2: 0.80, 4: 0.86}, margin=0.02, seeds=2)

    def differing(by: float) -> StudyRecord:
        """The seeds of rank 4 differ by this much, those of rank 2 do not."""
        apart = with_seeds_apart(record, by)
        assert apart.certification is not None
        assert record.certification is not None
        trials = [t for t in record.certification.trials if t.rank == 2]
        trials += [t for t in apart.certification.trials if t.rank == 4]
        return replace(record, certification=replace(apart.certification, trials=tuple(trials)))

    assert "metric_behind" not in texts(differing(0.05))  # 2.4 standard errors
    assert "metric_behind" in texts(differing(0.001))


def test_base_as_good_if_two_seeds_cannot_show_otherwise() -> None:
    noisy = {"seeds": 2, "base_loss": 0.40, "margin_of": "loss", "margin": 0.1}
    assert "base_as_good" in texts(certified_record(dict.fromkeys((2, 4, 8), 0.3), seed_noise=0.05, **noisy))
    assert "base_as_good" not in texts(certified_record(dict.fromkeys((2, 4, 8), 0.3), seed_noise=1e-4, **noisy))


def test_metric_not_gained_uses_means_if_the_metric_is_not_a_mean_of_scores() -> None:
    scores = {0: 0.57, **dict.fromkeys((2, 4, 8, 16, 32), 0.54)}
    record = certified_record(scores=scores, metric="macro_f1")
    certification = record.certification
    assert certification is not None
    shifted = tuple(replace(trial, scores=tuple(s + 0.1 for s in trial.scores)) for trial in certification.trials)
    assert "metric_not_gained" in texts(replace(record, certification=replace(certification, trials=shifted)))


@pytest.mark.parametrize(
    "record",
    [
        certified_record(base_loss=0.25, scores={0: 0.95}),
        certified_record(answers=False),
        certified_record(margin_of="metric", margin=0.015),
    ],
    ids=["the base is as good", "no answers", "judged on the metric"],
)
def test_metric_not_gained_is_left_out_if_redundant_or_unknown(record: StudyRecord) -> None:
    assert "metric_not_gained" not in texts(record)


def with_lookup(adapter: float, looked_up: float, examples: int, metric: str = "accuracy") -> StudyRecord:
    """A study whose adapter of rank 8 and whose nearest training examples are right on these shares of the test examples, independently."""
    draw = np.random.default_rng(3)

    def right(share: float) -> tuple[float, ...]:
        return tuple(float(one) for one in draw.permutation(np.arange(examples) < round(share * examples)))

    record = certified_record(final=(8, 32), metric=metric)
    certification = record.certification
    assert certification is not None
    own, nearest = right(adapter), right(looked_up)

    def dressed(trial: TrialRecord) -> TrialRecord:
        assert trial.measures is not None
        about = {"metrics": {metric: float(np.mean(own))}, "shares": own, "examples": examples}
        if trial.spec.arm is None:
            about = {"nearest": {metric: float(np.mean(nearest))}, "nearest_shares": nearest, "examples": examples}
        return replace(trial, result=replace(trial.result, measures=replace(trial.measures, **about)))

    return replace(record, certification=replace(certification, final=tuple(map(dressed, certification.final))))


@pytest.mark.parametrize(
    ("adapter", "looked_up", "examples", "kind", "sentence"),
    [
        (0.54, 0.71, 100, "nearest_example_better", "The nearest training example answers better than this adapter: "),
        (0.54, 0.71, 24, "nearest_example_as_good", "This adapter is not shown to answer better than the nearest training example: "),
        (0.55, 0.54, 100, "nearest_example_as_good", "This adapter is not shown to answer better than the nearest training example: "),
        (0.90, 0.50, 100, None, ""),
    ],
)  # fmt: skip
def test_an_adapter_that_a_lookup_beats_is_said_to_be_so_first(
    adapter: float, looked_up: float, examples: int, kind: str | None, sentence: str
) -> None:
    conclusion = conclude(with_lookup(adapter, looked_up, examples))
    assert conclusion is not None
    assert (conclusion.status, conclusion.rank) == ("certified", 8)  # ranks are compared with each other all the same
    found = [finding for finding in conclusion.findings if finding.kind.startswith("nearest_example")]
    assert [finding.kind for finding in found] == ([kind] if kind else [])
    if kind is None:
        return
    figures = found[0].figures
    assert figures is not None
    assert figures["examples"] == examples
    assert figures["low"] < figures["difference"] < figures["high"]
    assert (figures["high"] < 0) == (kind == "nearest_example_better")
    claim, keeps, second, *_ = re.split(r"(?<=[.!?])\s+(?=[A-Z])", conclusion.headline)
    assert (claim, keeps[:8]) == ("Rank 8 is enough.", "It keeps")
    assert second.startswith(sentence)
    assert second in found[0].text
    assert f"{examples} test examples" in second


def test_a_lookup_that_was_not_recorded_per_example_is_only_compared_by_its_score() -> None:
    record = with_lookup(0.54, 0.71, 100)
    certification = record.certification
    assert certification is not None

    def bare(trial: TrialRecord) -> TrialRecord:
        assert trial.measures is not None
        measures = replace(trial.measures, shares=(), nearest_shares=())
        return replace(trial, result=replace(trial.result, measures=measures))

    older = replace(record, certification=replace(certification, final=tuple(map(bare, certification.final))))
    conclusion = conclude(older)
    assert conclusion is not None
    (finding,) = (each for each in conclusion.findings if each.kind == "nearest_example_as_good")
    assert "noise of examples is unknown" in finding.text


def test_a_lookup_that_wins_is_in_verdict_json_and_on_the_first_screen() -> None:
    record = with_lookup(0.54, 0.71, 100)
    conclusion = conclude(record)
    contents = json.loads(json.dumps(verdict_json(record, conclusion, "2026-01-01T00:00:00Z")))
    Draft202012Validator(verdict_schema()).validate(contents)
    (finding,) = contents["findings"]
    assert finding["kind"] == "nearest_example_better"
    assert finding["figures"]["difference"] == pytest.approx(-0.17)
    answer = answer_of(record, conclusion)
    assert answer.warnings == (finding["text"],)
    assert finding["text"] not in answer.findings
    assert answer.headline[0] == "Rank 8 is enough."
