"""The certification in the Optuna study: what a killed run has stored of it can be read and completed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import optuna
import pytest

from sweep.records import (
    Arm,
    Declaration,
    RateChoice,
    Split,
    Stage,
    Status,
    TrialRecord,
    TrialResult,
    TrialSpec,
    to_json,
)
from sweep.search.certification import StoredCertification, is_older_than_cuts, read_certification
from sweep.store.identity import certification_identity, ladder_identity
from tests.conftest import TRAINING, arm, measures
from tests.verdict.arm_ladders import ARMS

DECLARED = Declaration(ladder=(2, 8), seeds=2, margin=0.01, margin_of="gain", alpha=0.05)
OTHER = Declaration(ladder=(2, 8), seeds=6, margin=0.01, margin_of="gain", alpha=0.05)


@pytest.mark.parametrize("left", [left for count in range(4) for left in itertools.combinations(range(3), count)])
def test_a_partly_stored_certification_is_completed(left: tuple[int, ...]) -> None:
    study = optuna.create_study()
    key = certification_identity(arm(8))
    parts = {f"certify/{key}/declared": to_json(DECLARED), f"certify/{key}/recipe": to_json(arm(8)), "certify": key}
    for number, (name, value) in enumerate(parts.items()):
        if number in left:
            study.set_user_attr(name, value)
    assert (read_certification(study) is None) == (len(left) < 3)
    StoredCertification(study, arm(8)).begin(OTHER if 0 in left else DECLARED)
    begun = read_certification(study)
    assert begun is not None
    assert begun.declared == DECLARED, "the first declaration stays"
    assert begun.recipe == arm(8)


def certify_trial(recipe: Arm | None, identity: str, started: float, nats: Sequence[float]) -> TrialRecord:
    stage = Stage.CERTIFY if recipe else Stage.BASE
    spec = TrialSpec(identity, "made", stage, recipe, TRAINING, 1, split=Split.CERTIFY)
    result = TrialResult(spec, Status.COMPLETE, measures=measures(0.5), started=started)
    return TrialRecord(1, result, "run", tuple(nats))


def test_a_trial_that_is_evaluated_again_replaces_the_earlier_one() -> None:
    study = optuna.create_study()
    certified = StoredCertification(study, arm(8))
    certified.begin(DECLARED)
    certified.add_trial(certify_trial(None, "base", 1.0, [4.0, 5.0]), [1, 1])
    certified.add_trial(certify_trial(arm(8), "five", 2.0, [1.0, 2.0]), [1, 1])
    certified.add_trial(certify_trial(arm(2), "other", 3.0, [2.0, 3.0]), [1, 1])
    certified.add_trial(certify_trial(arm(8), "nine", 2.0, [1.0, 2.0, 3.0]), [1, 1, 2])
    kept = read_certification(study)
    assert kept is not None
    assert [(one.identity, len(one.nats)) for one in kept.trials] == [("nine", 3), ("other", 2)]
    assert kept.tokens == (1, 1, 2)
    assert kept.base is not None
    assert kept.base.nats == (4.0, 5.0)


def test_a_recipe_has_one_certification_under_any_key() -> None:
    study = optuna.create_study()
    for key, of in (("older", arm(8)), ("another", arm(8, dropout=0.5)), ("newer", arm(2, learning_rate=1e-3))):
        study.set_user_attr(f"certify/{key}/declared", to_json(DECLARED))
        study.set_user_attr(f"certify/{key}/recipe", to_json(of))
    study.set_user_attr("certify", "newer")
    assert StoredCertification(study, arm(32)).is_current
    assert not StoredCertification(study, arm(32, dropout=0.5)).is_current
    assert not StoredCertification(study, arm(32, dropout=0.1)).is_current


def test_examples_never_decrease_and_an_extension_is_stored_once() -> None:
    study = optuna.create_study()
    certified = StoredCertification(study, arm(8))
    certified.begin(DECLARED)
    for examples in (40, 80, 20):
        certified.raise_examples(examples)
    certified.add_extension(3, 40)
    certified.add_extension(3, 40)
    certified.add_extension(5, 60)
    kept = read_certification(study)
    assert kept is not None
    assert kept.examples == 80
    assert kept.extended == ((3, 40), (5, 60))


# ladders that are cut

CUT = replace(DECLARED, ladder_by="cut")


def test_a_study_keeps_a_trained_ladder_and_one_for_each_rank_that_is_cut_from() -> None:
    study = optuna.create_study()
    kinds = {None: DECLARED, 8: CUT, 16: replace(CUT, ladder=(2, 8, 16))}
    for cut_from, declared in kinds.items():
        StoredCertification(study, arm(8), cut_from).begin(declared)
    for cut_from, declared in kinds.items():
        stored = StoredCertification(study, arm(2), cut_from)
        assert stored.is_current == (cut_from == 16)
        stored.begin(declared)
        kept = read_certification(study)
        assert kept is not None
        assert kept.declared == declared
        StoredCertification(study, arm(8), 16).begin(kinds[16])


def test_another_ladder_of_the_recipe_takes_over_the_rate_of_the_largest_rank() -> None:
    study = optuna.create_study()
    trained = StoredCertification(study, arm(8))
    trained.begin(DECLARED)
    tuning = TrialSpec("tuning", "made", Stage.RATES, arm(8), TRAINING, 0)
    trained.add_trial(TrialRecord(1, TrialResult(tuning, Status.COMPLETE, measures=measures(0.5))), [])
    trained.add_trial(certify_trial(arm(8), "eight", 2.0, [1.0, 2.0]), [1, 1])
    choices = [RateChoice(rank, 1e-3, ((1e-3, 0.5),)) for rank in (2, 8)]
    trained.set_rates(choices)
    StoredCertification(study, arm(8), 8).begin(CUT)
    cut = read_certification(study)
    assert cut is not None
    assert cut.rates == (choices[1],)
    assert [trial.identity for trial in cut.tuning] == ["tuning"]
    assert cut.trials == ()
    StoredCertification(study, arm(8, dropout=0.5), 8).begin(CUT)
    other = read_certification(study)
    assert other is not None
    assert other.rates == ()


@pytest.mark.parametrize("keys", [("declared",), ("declared", "recipe"), ("declared", "recipe", "certify")])
def test_a_certification_of_a_version_without_cuts_is_recognized(keys: tuple[str, ...]) -> None:
    study = optuna.create_study()
    older = {key: value for key, value in to_json(DECLARED).items() if key not in ("ladder_by", "confirm")}
    parts = {"declared": ("certify/key/declared", older), "recipe": ("certify/key/recipe", to_json(arm(8)))}
    for key in keys:
        study.set_user_attr(*parts.get(key, ("certify", "key")))
    assert is_older_than_cuts(study.user_attrs) == ("certify" in keys)
    StoredCertification(study, arm(8), 8).begin(CUT)
    assert not is_older_than_cuts(study.user_attrs)
    assert StoredCertification(study, arm(8)).is_current is False


OF_ARMS = replace(DECLARED, ladder_by="train").with_arms(ARMS)


def test_a_ladder_of_arms_is_kept_beside_those_of_ranks() -> None:
    """Their rates are by place, so a ladder of ranks takes none over, nor the other way round."""
    study = optuna.create_study()
    ranks = StoredCertification(study, arm(8))
    ranks.begin(replace(DECLARED, ladder=(2, 4)))
    ranks.set_rates([RateChoice(4, 1e-3, ())])
    arms = StoredCertification(study, arm(8), None, OF_ARMS)
    arms.begin(OF_ARMS)
    kept = read_certification(study)
    assert kept is not None
    assert (kept.declared, kept.rates) == (OF_ARMS, ())
    arms.set_rates([RateChoice(rung, 1e-2, ((1e-2, 0.5),)) for rung in OF_ARMS.ladder])
    kept = read_certification(study)
    assert kept is not None
    assert [str(choice.rank) for choice in kept.rates] == [one.words for one in ARMS]
    top = StoredCertification(study, arm(8), 4)
    top.begin(replace(DECLARED, ladder=(2, 4), ladder_by="cut"))
    kept = read_certification(study)
    assert kept is not None
    assert [(choice.rank, choice.learning_rate) for choice in kept.rates] == [(4, 1e-3)]


def test_the_order_of_arms_counts_where_it_is_the_one_written() -> None:
    turned = OF_ARMS.with_arms(ARMS[::-1])
    assert ladder_identity(turned) == ladder_identity(OF_ARMS)
    assert ladder_identity(turned.with_arms([replace(one, words="x", cost=7.0) for one in ARMS])) == ladder_identity(
        OF_ARMS
    )
    timed, turned = (replace(declared, cost="train_seconds") for declared in (OF_ARMS, turned))
    assert len({ladder_identity(one) for one in (OF_ARMS, timed, turned)}) == 3
    assert ladder_identity(OF_ARMS.with_arms(ARMS[1:])) != ladder_identity(OF_ARMS)
    assert ladder_identity(OF_ARMS.with_arms([replace(one, learning_rate=1.0) for one in ARMS])) != ladder_identity(
        OF_ARMS
    )
