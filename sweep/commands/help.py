"""What `--help` and `help KEY` print. Imports nothing heavy, so that help appears at once."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from sweep.config.groups import groups
from sweep.config.keys import KeyHelp, key_help, section_help
from sweep.config.overrides import suggestion
from sweep.console.command import run
from sweep.console.command_line import SCRIPT, program, started_as_script
from sweep.errors import ConfigurationError

WIDTH = 100
_SHOWN = 36
"""Longer defaults are cut off in lists."""

COMMANDS = {
    "run": "run a study, or resume it; ends with a table and a verdict",
    "plan": "what a study would take: trials, minutes, memory, disk, and what its seeds can decide",
    "train": "train one adapter, by the same code as a study's trials",
    "data": "what a task's data is like and what to set, before anything is trained",
    "report": "rebuild a study's report from its records; trains nothing",
    "predict": "answer prompts with the adapter of a study that is in use",
    "schedule": "run a study every night, by systemd, cron or another scheduler (docs/nightly.md)",
    "nights": "all nights of scheduled sweeps, as a table and a page (docs/morning.md)",
    "refresh": "data that change: score the champion, train and test a challenger; for every night",
    "champion": "the adapter in use: its history, taking a verdict's into use, and going back",
    "archive": "pack a study into one file, and open it in another folder or on another machine",
    "gc": "remove weights that lost, after showing which",
    "ui": "MLflow's pages on the studies' store, with links to ladder and champion",
    "doctor": "check what this machine can run and what it lacks; --repair moves damaged files aside",
    "help": "list all keys, or explain one: help lora.r, help certify, help report",
}
MOST_USED = (
    "task.path",
    "task.metric",
    "train.steps",
    "search.trials",
    "certify.ladder",
    "certify.seeds",
    "certify.margin",
    "budget.wall_clock",
)

RUN = """\
Usage: {run} [+study=NAME] [KEY=VALUE ...]

Runs a study, or resumes it, and ends with a table, a verdict and a report. Trial counts are totals
across runs: rerunning a finished study trains nothing. Stop with Ctrl-C; the same command resumes.

  {run} +study=pharma                           a study of conf/study, or of ./conf/study
  {run} task=jsonl task.path=FOLDER task.metric=accuracy      your own data
  {run} +study=pharma search.trials=20          the same study, continued
  {run} +study=pharma dry_run=true              the same as plan: what it would take on this machine

  --cfg job    print the composed configuration
  --version    print the version

FOLDER holds train.jsonl, validation.jsonl and test.jsonl, each line with "prompt" and "completion".
Keys: {help}. One key: {help} search.trials."""
TRAIN = """\
Usage: {train} [KEY=VALUE ...]

Trains one adapter with the arm in lora.* and the recipe in train.*, evaluates it on tune and prints
where it is. A trial that was finished before is not trained again.

  {train} task=pharma lora.r=16
  {train} lora.r=4,8,16 -m                      one trial per value, by Hydra's sweeper

  -m           multirun: commas separate the values to try
  --cfg job    print the composed configuration

Keys: {help}. One key: {help} lora.r."""


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether `-h` or `--help` is among the words."""
    return any(word in ("-h", "--help") for word in words)


def print_usage(text: str) -> int:
    """Prints the help of a command; returns the exit code."""
    print(text.format(run=program("run"), train=program("train"), help=f"{_start()} help"))
    return 0


def _start() -> str:
    """What every command can be started with."""
    return SCRIPT if started_as_script() else "python -m sweep"


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: show(sys.argv[1:]))


def show(words: Sequence[str]) -> int:
    """Prints the screen (`--help`), all keys (no words), or what is known of each word; returns the exit code.

    Raises:
        ConfigurationError: a word is neither a key, a section, a group nor a command.
    """
    if asks_for_help(words):
        print("\n".join(screen()))
        return 0
    if not words:
        print("\n".join(all_keys(width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None)))
        return 0
    if len(words) == 1 and words[0] in COMMANDS:
        return _show_command(words[0])
    print("\n\n".join("\n".join(explained(word.rstrip("=."))) for word in words))
    return 0


def screen() -> Iterator[str]:
    """The screen of `--help`: commands, most used keys, groups."""
    keys = key_help()
    yield "Goldilocks finds the LoRA rank that is just right for a model, a data set and a budget."
    yield ""
    yield f"Usage: {_start()} COMMAND [KEY=VALUE ...]"
    yield ""
    yield "Commands (COMMAND --help says more):"
    yield from _table(COMMANDS)
    yield ""
    yield "Most used keys (default):"
    yield from _table({key: _in_short(keys[key]) for key in MOST_USED})
    yield ""
    yield "Groups (GROUP=NAME, but +study=NAME; add your own as ./conf/GROUP/NAME.yaml):"
    single = {group: names for group, names in groups().items() if len(names) == 1}
    for group, names in groups().items():
        if group in single:
            continue
        lead = f"  {group:10}"
        yield from textwrap.wrap(", ".join(names), WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    yield "".join(f"  {group:10}{names[0]:10}" for group, names in single.items()).rstrip()
    yield f"More: {_start()} help (all keys), {_start()} help lora.r (one key or section)"


def all_keys(width: int | None) -> Iterator[str]:
    """Every key with its default and meaning, one line each, cut at the width."""
    sections = section_help()
    last = ""
    keys = key_help()
    for key in sorted(keys, key=lambda key: "." in key):  # those without a section first
        section = key.rpartition(".")[0].partition(".")[0]
        if section != last:
            yield ""
            yield f"{section}: {sections.get(section, '')}"
            last = section
        yield from _table({_with_default(keys[key]): keys[key].text}, column=44, width=width)


def explained(word: str) -> Iterator[str]:
    """A key, a section or a group.

    Raises:
        ConfigurationError: the word is none of these.
    """
    keys, sections, choices = key_help(), section_help(), groups()
    if word in keys:
        yield from _key(keys[word])
        return
    if word not in sections and word not in choices:
        near = suggestion(word, [*choices, *COMMANDS]) or f" ({_start()} help lists all keys)"
        raise ConfigurationError(f"{word}: there is no such key, section or command{near}")
    yield f"{word}: {sections[word]}" if word in sections else word
    if word in choices:
        plus = "+" if word == "study" else ""
        yield from textwrap.wrap(
            f"Choose with {plus}{word}=NAME: {', '.join(choices[word])}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
        )
    own = {_with_default(about): about.text for key, about in keys.items() if key.startswith(f"{word}.")}
    if own:
        yield ""
        yield from _table(own)


def _key(about: KeyHelp) -> Iterator[str]:
    yield about.key
    yield from textwrap.wrap(about.text, WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield ""
    yield f"  Type     {about.kind}"
    yield f"  Default  {'none: a value must be given' if about.default is None else about.default}"
    if about.limits:
        yield f"  Limits   {about.limits}"
    if about.choices:
        yield f"  Choices  {', '.join(about.choices)}"
    yield f"  Example  {about.example or (f'{about.key}={about.default}' if about.default else f'{about.key}=VALUE')}"


def _show_command(name: str) -> int:
    match name:
        case "run":
            return print_usage(RUN)
        case "train":
            return print_usage(TRAIN)
        case "plan":
            from sweep.commands.planning.command import ABOUT, USAGE

            print(f"Usage: {program('plan')} {USAGE}\n\n{ABOUT}")
            return 0
        case "data":
            from sweep.commands.data_report.command import data

            return data(["--help"])
        case "report":
            from sweep.commands.report import report

            return report(["--help"])
        case "predict":
            from sweep.commands.predict import predict

            return predict(["--help"])
        case "schedule":
            from sweep.commands.schedule import schedule

            return schedule(["--help"])
        case "nights":
            from sweep.commands.nights import nights

            return nights(["--help"])
        case "refresh":
            from sweep.commands.refresh import ABOUT as REFRESH
            from sweep.commands.refresh import USAGE as WORDS

            print(f"Usage: {program('refresh')} {WORDS}\n\n{REFRESH}")
            return 0
        case "champion":
            from sweep.commands.champion import champion

            return champion(["--help"])
        case "ui":
            from sweep.commands.ui import ui

            return ui(["--help"])
        case "doctor":
            from sweep.commands.doctor.command import doctor

            return doctor(["--help"])
        case "archive":
            from sweep.commands.archive import archive

            return archive(["--help"])
        case "gc":
            from sweep.commands.gc import gc

            return gc(["--help"])
    return show(["--help"])


def _in_short(about: KeyHelp, width: int = 76) -> str:
    """The meaning, as far as it fits, and the default."""
    default = "" if about.default in (None, "null") else f" ({about.default})"
    text = about.text
    for separator in ("; ", " (", ": ", ", "):
        if len(text) + len(default) > width:
            text = text.partition(separator)[0]
    return text + default


def _with_default(about: KeyHelp) -> str:
    default = about.default or "..."
    return f"{about.key}={default if len(default) <= _SHOWN else default[: _SHOWN - 3] + '...'}"


def _table(rows: Mapping[str, str], *, column: int | None = None, width: int | None = None) -> Iterator[str]:
    column = column or max(map(len, rows), default=0)
    for name, text in rows.items():
        line = f"  {name:{column}}  {text}"
        yield line if width is None or len(line) <= width else f"{line[: width - 3]}..."
