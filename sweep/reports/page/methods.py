"""The methods of a search over methods, each with its best trial, its map of rates and its importances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.records import StudyRecord
from sweep.reports.by_method import MethodSummary, has_methods, importance_words, parameter_words, summaries
from sweep.reports.page.chart import Chart
from sweep.reports.page.search_charts import importances_chart, rates_chart


@dataclass(frozen=True, slots=True)
class MethodPart:
    """What the page shows of a method.

    Attributes:
        parameters: those of its best trial, in words.
        depends: what its loss depended on, in words.
    """

    summary: MethodSummary
    parameters: str
    depends: str
    rates: Chart | None
    importances: Chart | None

    @property
    def charts(self) -> Sequence[Chart]:
        """Those that there are."""
        return [each for each in (self.rates, self.importances) if each is not None]


def method_parts(record: StudyRecord) -> list[MethodPart]:
    """A part for each method, the best first; none after a search of one method."""
    return [_part(record, each) for each in summaries(record)] if has_methods(record) else []


def _part(record: StudyRecord, each: MethodSummary) -> MethodPart:
    return MethodPart(
        each,
        parameter_words(each.best.arm, record.target_sets) if each.best else "",
        importance_words(each),
        rates_chart(record, each.name),
        importances_chart(each.importances, each.name),
    )
