"""The errors a person can meet, each with the exit code its command ends with.

GoldilocksError
|-- ConfigurationError   2    a key or value is wrong: the text names it and says what to write instead
|-- DataError            2    the data set cannot be used: the text names file and line
|-- EnvironmentLacks     3    this machine lacks something: the text says how to get it
|-- StudyBusy            2    another sweep of the same study is running
|-- NoTrialSucceeded     4    every trial failed, or too many failed in a row
|-- NoProgress           4    a stage stands still: the text says what it waits for
|-- Interrupted        130    Ctrl-C, SIGTERM or SIGHUP: state is kept, the same command resumes
`-- TrialEnded                how one trial can end early (never leaves the worker)
    |-- TrialFailed           it broke: the reason is kept, the sweep goes on
    |   `-- TrialDiverged     its loss is not finite, which is a result: nothing is wrong with the worker
    |-- TrialInfeasible       it does not fit this machine's memory
    `-- TrialPruned           the study saw that it will not win against its own rank

A reader that goes away (`| head -1`) is no error: the command does what it was asked to, and ends as it would have. Output that
cannot be written for another reason, such as a full disk, is EnvironmentLacks once all else is done.
"""

from __future__ import annotations

from collections.abc import Iterable


class GoldilocksError(Exception):
    """A condition that is explained to the reader, never shown as a traceback."""

    exit_code = 1


class Problems(GoldilocksError):
    """Several things that are wrong at once, each said in one line or more.

    Attributes:
        problems: the texts, in the order in which they were found.
    """

    heading = "Problems"

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class ConfigurationError(Problems):
    """Keys or values of the configuration are wrong."""

    exit_code = 2
    heading = "The configuration cannot be used"


class DataError(Problems):
    """The data set cannot be used."""

    exit_code = 2
    heading = "The data set cannot be used"


class EnvironmentLacks(Problems):
    """This machine lacks something that the study needs."""

    exit_code = 3
    heading = "This machine lacks something"


class StudyBusy(GoldilocksError):
    """Another process is running a sweep of the same study."""

    exit_code = 2


class NoTrialSucceeded(GoldilocksError):
    """No trial could succeed, or too many failed in a row."""

    exit_code = 4


class NoProgress(GoldilocksError):
    """A stage asked for something that left no trace in the study, and would ask for it for ever."""

    exit_code = 4


class Interrupted(GoldilocksError):
    """A person or the system asked the sweep to stop; nothing that was finished is lost."""

    exit_code = 130


class TrialEnded(GoldilocksError):
    """A trial ended before it was complete; the text is the reason kept in its record."""


class TrialFailed(TrialEnded):
    """The trial broke, for example because no gradient reached its adapter."""


class TrialDiverged(TrialFailed):
    """The trial's loss is not finite. The base model and the process are as they were."""


class TrialInfeasible(TrialEnded):
    """The trial does not fit into this machine's memory."""


class TrialPruned(TrialEnded):
    """The study stopped the trial because it trails other arms of the same rank."""
