"""`plan`: what a study would do and take on this machine, before anything is trained."""

from __future__ import annotations

import sys

from sweep.console.command import run
from sweep.console.command_line import program

MEASURE = "--measure"

USAGE = "[+study=NAME] [KEY=VALUE ...] [--measure]"
ABOUT = """Prints what a study would do and take on this machine, before anything is trained: trials and minutes by stage,
trainable parameters, memory, disk, what this machine cannot do and what to change, and what its seeds can decide.
Loads no weights. Minutes come from trials recorded here, else from the rate of this machine's matrix products.

  --measure    trains a few steps of the study's own recipe first, and keeps their seconds for later plans"""


def main() -> int:
    """The command; returns its exit code."""
    from sweep.commands.help import asks_for_help

    if asks_for_help(sys.argv[1:]):
        print(f"Usage: {program('plan')} {USAGE}\n\n{ABOUT}")
        return 0
    from sweep.commands.app import run_app
    from sweep.commands.plan import show_measured_plan, show_study_plan
    from sweep.search.options import option_problems
    from sweep.training.splits import problems_of

    measures = MEASURE in sys.argv[1:]
    sys.argv[1:] = [word for word in sys.argv[1:] if word != MEASURE]
    show = show_measured_plan if measures else show_study_plan
    return run(lambda: run_app(show, problems_of, option_problems, show))
