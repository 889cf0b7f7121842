"""`schedule`: studies that run every night, started by a scheduler of your choice."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from sweep.console.command import key_values, run
from sweep.console.command_line import program
from sweep.console.suggest import did_you_mean
from sweep.errors import ConfigurationError

USAGE = """install [+study=NAME] at=HH:MM deadline=HH:MM [KEY=VALUE ...]
       list | status [NAME] | logs NAME | run-now NAME | remove NAME | tick"""
ABOUT = """Runs a study every night between two times of day, until it has its verdict. What a night does not finish, the next
one continues. Several studies share a night.

  install    checks study, data, hours and notifiers, and sets up a scheduler; a schedule of the same name is replaced
  list       every schedule of this folder, with its next and last night
  status     one or all of them in detail
  logs       what the studies printed in the last night, or date=YYYY-MM-DD
  run-now    runs a night of this schedule at once, of the usual length
  remove     takes back what install wrote; records, notes and logs stay
  tick       what schedulers call: runs the nights that are due

Keys of install, beside those of a study:
  at, deadline      local times; a deadline before the start is on the next day
  zone              IANA time zone, by default this machine's
  name              by default the study's
  kind              the scheduler (default systemd):
{kinds}
  notify            where the morning note goes: env:NAME, file:PATH or an address without secrets; may be repeated
  environment       a file of NAME=value lines for the study, for secrets as well
  catch_up          true (default): a night that was missed is made up for at the next opportunity, once
  refresh           true: for data that change, nights call refresh: champion and challenger (docs/champion.md)
  memory, disk, gpu_memory   what must be free before a night starts (default: what the study needs)
  since             the date from which nights count (default: now)
  dry_run           true: shows what would be written

Exit codes of tick and run-now: 0 nothing was due, or all ended well, unfinished studies included; 2 a schedule or its study cannot be
used; 3 this machine lacks something; 4 a study failed; 130 stopped by a signal, what is finished is kept."""
_COMMANDS = ("install", "list", "status", "logs", "run-now", "remove", "tick")


def schedule(words: Sequence[str]) -> int:
    """Runs one of the subcommands; returns the exit code.

    Raises:
        ConfigurationError: with every problem of the words.
    """
    if not words or any(word in ("-h", "--help") for word in words):
        from sweep.commands.scheduling.show import kinds_table

        kinds = "\n".join(f"  {line}" for line in kinds_table())
        print(f"Usage: {program('schedule')} {USAGE}\n\n{ABOUT.format(kinds=kinds)}")
        return 0
    command, *rest = words
    if command not in _COMMANDS:
        raise ConfigurationError(
            f"{command}: there is no such command{did_you_mean(command, _COMMANDS)} (commands: {', '.join(_COMMANDS)})"
        )
    if command == "install":
        return _install(rest)
    if command == "remove":
        return _remove(_name(command, rest))
    if command in ("tick", "run-now"):
        from sweep.commands.scheduling.running import run_nights
        from sweep.store.paths import Paths

        if command == "tick":
            _nothing_else(command, rest)
        return run_nights(Paths.here(), only=_name(command, rest) if command == "run-now" else None)
    return _show(command, rest)


def _install(words: Sequence[str]) -> int:
    from sweep.commands.scheduling.request import is_dry_run, schedule_from
    from sweep.commands.scheduling.show import installed
    from sweep.nightly.installing import install, preview
    from sweep.nightly.kinds import kinds
    from sweep.nightly.kinds.kind import here
    from sweep.store.paths import Paths

    paths, place = Paths.here(), here(time.time())
    wanted = schedule_from(words, paths, place)
    if is_dry_run(words):
        print("\n".join(preview(wanted, place)))
        print(installed(wanted, place))
        for lack in kinds()[wanted.kind].lacks():
            print(f"This machine lacks something: {lack}")
        print("Nothing was written.")
        return 0
    told = install(wanted, paths, place)
    print(installed(wanted, place))
    for line in told:
        print(f"  {line}")
    return 0


def _remove(name: str) -> int:
    from sweep.nightly.installing import remove
    from sweep.nightly.kinds.kind import here
    from sweep.store.paths import Paths

    files = remove(name, Paths.here(), here(time.time()))
    print(f"{name}: removed{', with ' if files else ''}{', '.join(files)}; its nights, notes and logs stay")
    return 0


def _show(command: str, words: Sequence[str]) -> int:
    from sweep.commands.scheduling.show import listed, log_of, status
    from sweep.nightly.schedules import load, names
    from sweep.store.paths import Paths

    paths, now = Paths.here(), time.time()
    if command == "list":
        _nothing_else(command, words)
        print("\n".join(listed(paths, now)))
    elif command == "status":
        for name in [_name(command, words)] if words else names(paths):
            print("\n".join(status(load(paths, name), paths, now)))
        if not words and not names(paths):
            print("\n".join(listed(paths, now)))
    else:
        named = [word for word in words if "=" not in word]
        keys = key_values([word for word in words if "=" in word], ("date",))
        print(log_of(_name(command, named), paths, keys.get("date", [None])[-1]), end="")
    return 0


def _name(command: str, words: Sequence[str]) -> str:
    if len(words) != 1:
        raise ConfigurationError(f"{command}: name one schedule ({program('schedule')} {command} NAME)")
    return words[0].removeprefix("name=")


def _nothing_else(command: str, words: Sequence[str]) -> None:
    if words:
        raise ConfigurationError([f"{word}: {command} takes no other words" for word in words])


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: schedule(sys.argv[1:]))
