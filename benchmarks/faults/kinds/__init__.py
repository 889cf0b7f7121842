"""The kinds of faults; importing this module registers them all, in the order of the table."""

from benchmarks.faults.kinds import signals as signals  # isort: skip
from benchmarks.faults.kinds import finished as finished  # isort: skip
from benchmarks.faults.kinds import databases as databases  # isort: skip
from benchmarks.faults.kinds import server as server  # isort: skip
from benchmarks.faults.kinds import data as data  # isort: skip
from benchmarks.faults.kinds import limits as limits  # isort: skip
from benchmarks.faults.kinds import surroundings as surroundings  # isort: skip
from benchmarks.faults.kinds import inputs as inputs  # isort: skip
from benchmarks.faults.kind import KINDS

__all__ = ["KINDS"]
