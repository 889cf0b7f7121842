"""What the records allow to be said about ranks. Pure: no files, no training.

`judge` and `judge_looks` are the statistics, from losses alone; docs/verdict.md says what they claim and how it was checked.
"""

from sweep.verdict.judge import judge, judge_looks
from sweep.verdict.record import MarginOf, RankVerdict, State, Verdict, active_ranks
from sweep.verdict.spending import levels, spent

__all__ = ["MarginOf", "RankVerdict", "State", "Verdict", "active_ranks", "judge", "judge_looks", "levels", "spent"]
