"""The report a person acts on: one self-contained HTML page a study, and one that compares two studies."""

from sweep.report.page.answer import Answer, answer_of
from sweep.report.page.comparison import render_comparison
from sweep.report.page.examples import Contrast, contrasts
from sweep.report.page.page import Beside, render

__all__ = ["Answer", "Beside", "Contrast", "answer_of", "contrasts", "render", "render_comparison"]
