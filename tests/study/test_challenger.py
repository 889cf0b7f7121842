"""A challenger's recipe is chosen on tune: the champion's, and its neighbours only where that one does not look better."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sweep.records import Arm, ExampleOutcome
from sweep.study.challenger import chosen_recipe
from sweep.study.paired_losses import Outcomes, mean_loss, paired
from tasks import Example
from tests.conftest import arm

OLD = [Example(f"old {number}", "x") for number in range(3)]
NEW = [Example(f"new {number}", "x") for number in range(3)]


def outcomes(old: float, new: float) -> Outcomes:
    return {
        each.key: ExampleOutcome(nats=2 * loss, tokens=2) for part, loss in ((OLD, old), (NEW, new)) for each in part
    }


CHAMPION = outcomes(0.5, 2.0)


@pytest.mark.parametrize(
    ("by_rate", "chosen", "tried"),
    [
        ({1.0: (0.5, 1.0)}, 1.0, 1),
        ({1.0: (0.54, 1.9)}, 1.0, 1),
        ({1.0: (0.7, 1.0), 0.5: (0.5, 1.1), 2.0: (0.9, 1.0)}, 0.5, 3),
        ({1.0: (0.5, 2.1), 0.5: (0.5, 2.5), 2.0: (0.4, 1.0)}, 2.0, 3),
        ({1.0: (0.5, 2.1), 0.5: None, 2.0: (0.9, 2.2)}, 1.0, 3),
        ({1.0: None, 0.5: None, 2.0: (0.9, 2.2)}, 2.0, 3),
        ({1.0: None, 0.5: None, 2.0: None}, 1.0, 3),
    ],
)
def test_the_recipe_with_the_lowest_loss_on_tune_is_taken(
    by_rate: dict[float, tuple[float, float] | None], chosen: float, tried: int
) -> None:
    own = arm(learning_rate=1e-3)
    asked: list[float] = []

    def outcomes_of(arms: Sequence[Arm]) -> list[Outcomes | None]:
        rates = [each.learning_rate / own.learning_rate for each in arms]
        asked.extend(rates)
        return [None if (losses := by_rate[rate]) is None else outcomes(*losses) for rate in rates]

    found = chosen_recipe(own, outcomes_of, CHAMPION, OLD, NEW, margin=0.05)
    assert found.learning_rate == pytest.approx(chosen * own.learning_rate)
    assert len(asked) == tried


def test_only_examples_that_both_were_evaluated_on_are_paired() -> None:
    long = Example("too long", "x", group="g")
    both = paired(outcomes(1.0, 1.0), CHAMPION, [*OLD, long, *NEW])
    assert both.examples == 6
    assert both.mean == pytest.approx((0.5 - 1.0) / 2)
    assert mean_loss(CHAMPION, [long]) != mean_loss(CHAMPION, [long]), "NaN"
    assert mean_loss(CHAMPION, NEW) == pytest.approx(2.0)
