"""What was found, check by check, and what follows from all of it. Imports nothing that could be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.errors import ConfigurationError, EnvironmentLacks

State = Literal["ok", "warning", "problem"]
"""`problem`: the study cannot run; `warning`: it can, but something is worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        found: what there is, in words.
        mend: what to do about it; empty if nothing needs doing.
        exit_code: what the command ends with if this is a problem.
    """

    name: str
    state: State
    found: str
    mend: str = ""
    exit_code: int = EnvironmentLacks.exit_code


def misconfigured(name: str, found: str, mend: str) -> Finding:
    """A problem of the configuration or the data, not of the machine."""
    return Finding(name, "problem", found, mend, ConfigurationError.exit_code)


def problems(findings: Sequence[Finding]) -> list[Finding]:
    """Those that make the study impossible."""
    return [finding for finding in findings if finding.state == "problem"]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a problem; 3 if this machine lacks something; 2 if only the configuration or the data is wrong."""
    return max((finding.exit_code for finding in problems(findings)), default=0)


def conclusion(findings: Sequence[Finding], study: str) -> str:
    """The last line: whether this machine can run the study, or what it lacks."""
    lacking = problems(findings)
    if not lacking:
        return f"This machine can run {study}."
    return f"This machine cannot run {study} yet; to mend: {', '.join(finding.name for finding in lacking)}."
