"""The errors that users can meet, with the exit codes of the commands.

GoldilocksError
|-- ConfigurationError   2    a key or value is wrong: names it and says what to write instead
|-- DataError            2    the data set cannot be used: names file and line
|-- EnvironmentLacks     3    this machine lacks something: says how to get it
|-- StudyBusy            2    another sweep of the same study is running
|-- NoTrialSucceeded     4    every trial failed, or too many failed in a row
|-- NoProgress           4    a stage makes no progress: says what it waits for
|-- Interrupted        130    Ctrl-C, SIGTERM or SIGHUP: state is kept, the same command resumes
`-- TrialEnded                one trial ended early (never leaves the worker)
    |-- TrialFailed           it failed: the reason is recorded, the sweep continues
    |   `-- TrialDiverged     its loss is not finite, which is a result: the worker is sound
    |-- TrialInfeasible       it does not fit into memory
    |-- TrialPruned           it trails other arms of its rank
    `-- StoppedEarly          its training ended early by its own rule: it is evaluated like any other

A closed pipe (`| head -1`) is not an error: the command finishes its work. Output that cannot be written for another reason, such
as a full disk, becomes EnvironmentLacks once everything else is done.
"""

from __future__ import annotations

from collections.abc import Iterable


class GoldilocksError(Exception):
    """A condition that is explained to the user, never shown as a traceback."""

    exit_code = 1


class Problems(GoldilocksError):
    """Several problems reported together.

    Attributes:
        problems: one text per problem, in the order of detection.
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
    """A stage's last step added nothing to the study, so it would repeat for ever."""

    exit_code = 4


class Interrupted(GoldilocksError):
    """The user or the system asked the sweep to stop; finished trials are kept."""

    exit_code = 130


class TrialEnded(GoldilocksError):
    """A trial ended before it was complete; the message is the recorded reason."""


class TrialFailed(TrialEnded):
    """The trial failed, for example because no gradient reached its adapter."""


class TrialDiverged(TrialFailed):
    """The trial's loss is not finite. The base model and the process are unaffected."""


class TrialInfeasible(TrialEnded):
    """The trial does not fit into this machine's memory."""


class TrialPruned(TrialEnded):
    """The study stopped the trial because it trails other arms of its rank."""


class StoppedEarly(TrialEnded):
    """The training ended before its last step (`train.early_stopping`). The trial is not over: what was trained is evaluated."""
