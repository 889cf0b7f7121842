"""Champion and challenger: whether a newly trained adapter may take the place of the one in use. Pure: losses in, decisions out.

docs/champion.md says what is promised and how it was checked.
"""

from sweep.verdict.promotion.budget import level_of
from sweep.verdict.promotion.condition import Condition, ConditionCheck, check_condition
from sweep.verdict.promotion.decision import Answer, PromotionTest, judge_challenger
from sweep.verdict.promotion.losses import GainLosses, PairedLosses

__all__ = [
    "Answer",
    "Condition",
    "ConditionCheck",
    "GainLosses",
    "PairedLosses",
    "PromotionTest",
    "check_condition",
    "judge_challenger",
    "level_of",
]
