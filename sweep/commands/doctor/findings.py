"""The outcome of each check, and the conclusion from all. Imports nothing that could be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.errors import ConfigurationError, EnvironmentLacks

State = Literal["ok", "warning", "problem"]
"""`problem`: the study cannot run; `warning`: it can, with a limitation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        message: the outcome in words.
        fix: what to do about it; empty if nothing.
        exit_code: the command's exit code if this is a problem.
    """

    name: str
    state: State
    message: str
    fix: str = ""
    exit_code: int = EnvironmentLacks.exit_code


def misconfigured(name: str, message: str, fix: str) -> Finding:
    """A problem of the configuration or the data, not of the machine."""
    return Finding(name, "problem", message, fix, ConfigurationError.exit_code)


def problems(findings: Sequence[Finding]) -> list[Finding]:
    """The findings because of which the study cannot run."""
    return [finding for finding in findings if finding.state == "problem"]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a problem; 3 if this machine lacks something; 2 if only the configuration or the data is wrong."""
    return max((finding.exit_code for finding in problems(findings)), default=0)


def conclusion(findings: Sequence[Finding], study: str) -> str:
    """The last line: whether this machine can run the study, or what to fix."""
    lacking = problems(findings)
    if not lacking:
        return f"This machine can run {study}."
    return f"This machine cannot run {study} yet; to fix: {', '.join(finding.name for finding in lacking)}."
