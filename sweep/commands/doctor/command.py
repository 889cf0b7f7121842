"""`python -m sweep.doctor [key=value ...]`: what this machine can run, what it lacks, and how to fix it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sweep.commands.doctor.findings import Finding, conclusion, exit_code, problems
from sweep.commands.doctor.machine import own_requirements, packages, python_version
from sweep.console.command import run
from sweep.errors import ConfigurationError

USAGE = "python -m sweep.doctor [key=value ...] | --repair"
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(words: Sequence[str]) -> int:
    """Checks this machine, prints the findings, and returns the exit code.

    Raises:
        ConfigurationError: the overrides describe no study.
    """
    if any(word in ("-h", "--help") for word in words):
        print(
            f"{USAGE}\n\nShows what this machine can run, what it lacks, and how to fix it. Takes the overrides of a study "
            "(+study=NAME,\nmodel=NAME, task=jsonl task.path=FOLDER, ...) and checks what it needs; without overrides, "
            "the default study.\nTrains a model of a few kB as a test; downloads nothing but the data of task=hub.\n\n"
            "--repair moves damaged files under ./mlruns aside, so that studies can go on, and corrects the addresses of artifacts in\n"
            "MLflow's database after ./mlruns was moved or copied; it deletes nothing.\n\n"
            "Exit code: 0 the study can run; 2 its configuration or data is wrong; 3 this machine lacks something."
        )
        return 0
    if "--repair" in words:
        return _repair([word for word in words if word != "--repair"])
    subject = "this study" if words else "the default study"
    findings = [python_version()]
    if not problems(findings):
        findings.append(packages(own_requirements()))
        try:
            from sweep.commands.doctor.examination import examine, planned
        except ImportError as error:
            findings.append(Finding("imports", "problem", str(error), "install the packages"))
        else:
            findings += examine(planned(words))
    show(findings)
    print(conclusion(findings, subject))
    return exit_code(findings)


def _repair(others: Sequence[str]) -> int:
    if others:
        raise ConfigurationError([f"{word}: --repair takes no other words: {USAGE}" for word in others])
    from sweep.commands.doctor.repair import repair
    from sweep.store.paths import Paths

    for line in repair(Paths.here()):
        print(line)
    return 0


def show(findings: Sequence[Finding]) -> None:
    """Prints the findings as a table; as plain lines if rich is not installed."""
    try:
        from rich.table import Table
        from rich.text import Text

        from sweep.reports.closing import console
    except ImportError:
        for finding in findings:
            print(f"{finding.state}: {finding.name}: {finding.message}" + (f" -> {finding.fix}" if finding.fix else ""))
        return
    table = Table(header_style="bold")
    for name in ("state", "check", "result", "how to fix"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.name, finding.message, finding.fix)
    console().print(table)


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: doctor(sys.argv[1:]))
