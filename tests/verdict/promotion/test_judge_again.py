from __future__ import annotations

import pytest

from sweep.verdict.promotion.judge_again import why_judge_again


@pytest.mark.parametrize(
    ("promotions", "kept", "conditions", "why"),
    [
        (0, 1.0, [], None),
        (2, 0.5, ["worse", "unclear", "worse"], None),
        (3, 1.0, [], "3 promotions"),
        (0, 0.49, [], "49%"),
        (0, 1.0, ["good", "worse", "worse"], "twice|in a row"),
    ],
)
def test_the_ladder_is_judged_again_for_a_reason(
    promotions: int, kept: float, conditions: list[str], why: str | None
) -> None:
    said = why_judge_again(promotions, kept, conditions)
    if why is None:
        assert said is None
    else:
        assert said is not None
        assert any(part in said for part in why.split("|"))
