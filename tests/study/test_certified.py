"""The certification in the Optuna study: whatever a killed call has left of it can be read and completed."""

from __future__ import annotations

import itertools

import optuna
import pytest

from sweep.records import Declaration, to_json
from sweep.study.certified import CertifiedTrials, certification_of
from tests.conftest import arm

DECLARED = Declaration(ladder=(2, 8), seeds=2, margin=0.01, margin_of="gain", alpha=0.05)
OTHER = Declaration(ladder=(2, 8), seeds=6, margin=0.01, margin_of="gain", alpha=0.05)


@pytest.mark.parametrize("left", [left for count in range(4) for left in itertools.combinations(range(3), count)])
def test_a_begun_certification_is_completed_from_any_part_of_it(left: tuple[int, ...]) -> None:
    study = optuna.create_study()
    parts = {"certify/key/declared": to_json(DECLARED), "certify/key/recipe": to_json(arm(8)), "certify": "key"}
    for number, (name, value) in enumerate(parts.items()):
        if number in left:
            study.set_user_attr(name, value)
    assert (certification_of(study) is None) == (len(left) < 3)
    CertifiedTrials(study, "key").begin(OTHER if 0 in left else DECLARED, arm(8))
    begun = certification_of(study)
    assert begun is not None
    assert begun.declared == DECLARED, "what was declared first stays"
    assert begun.recipe == arm(8)
