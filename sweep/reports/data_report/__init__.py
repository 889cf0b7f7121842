"""What is known of a task's data before anything is trained, in the terminal and as a page."""

from sweep.reports.data_report.profile import DataProfile

__all__ = ["DataProfile"]
