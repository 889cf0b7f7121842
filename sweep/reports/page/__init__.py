"""The report a person acts on: one self-contained HTML page a study, and one that compares two studies."""

from sweep.reports.page.answer import Answer, answer_of
from sweep.reports.page.comparison import render_comparison
from sweep.reports.page.examples import Contrast, contrasts
from sweep.reports.page.page import Beside, render
from sweep.reports.page.samples import Sample, samples

__all__ = [
    "Answer",
    "Beside",
    "Contrast",
    "Sample",
    "answer_of",
    "contrasts",
    "render",
    "render_comparison",
    "samples",
]
