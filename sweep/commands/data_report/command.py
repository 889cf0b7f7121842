"""`data`: what a task's data is like and what it suggests to set, before anything is trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.console.command import run
from sweep.console.command_line import program
from sweep.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from sweep.commands.data_report.tokens import Reader
    from sweep.records import StudyPlan
    from sweep.reports.data_report.advice import Advice
    from sweep.reports.data_report.profile import DataProfile
    from sweep.reports.step import Step
    from sweep.store.paths import Paths

USAGE = "[task=NAME] [KEY=VALUE ...] [--html] [--fetch]"
ABOUT = """\
Shows what a task's data is like, before anything is trained: examples by split, lengths in the model's
tokens, labels, duplicates and near-duplicates, rows that cannot be used, secrets and e-mail addresses
(counts only), examples as the model sees them, and what to set. Takes the overrides of a study.

  {data} task=data task.path=reviews.csv
  {data} task=pharma model=smollm2-135m --html

  --html       write it as a page, too: mlruns/reports/STUDY/data.html (also html=true)
  --fetch      download or make the model if it is not on this machine (also fetch=true)

Without the model's tokenizer on this machine, lengths are in words. Trains nothing.
Exit code: 0 the data can be used; 2 it cannot, or the configuration is wrong."""
_FLAGS = ("html", "fetch")
_TRUTH = {"true": True, "false": False}


def data(words: Sequence[str]) -> int:
    """Prints the report; returns the exit code.

    Raises:
        ConfigurationError: the overrides describe no study.
        DataError: the data cannot be read at all.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('data')} {USAGE}\n\n{ABOUT.format(data=program('data'))}")
        return 0
    overrides, flags = _divided(words)
    from sweep.commands.app import composed_plan

    plan = composed_plan(overrides)
    from sweep.reports.closing import console, shown
    from sweep.reports.data_report.advice import advice
    from sweep.reports.data_report.words import print_profile
    from sweep.store.paths import Paths

    paths = Paths.here()
    profile = profile_of(plan, paths, fetch=flags["fetch"])
    recommended = advice(profile, plan) if not profile.problems else []
    steps = list(_next_steps(profile, recommended, overrides, html=flags["html"]))
    out = console()
    print_profile(profile, recommended, steps, plan.setup.task, out)
    if flags["html"]:
        from sweep.reports.data_report.page import write_page

        page = write_page(profile, recommended, steps, plan, paths)
        out.print(f"\n  {shown(page)}     this report, for a browser", soft_wrap=True)
    return DataError.exit_code if profile.problems else 0


def profile_of(plan: StudyPlan, paths: Paths, *, fetch: bool = False) -> DataProfile:
    """Reads a plan's data once, and describes it.

    Args:
        fetch: whether a model that is not on this machine is downloaded or made.

    Raises:
        DataError: the data cannot be read at all.
    """
    from sweep.commands.data_report.progress import Watch
    from sweep.commands.data_report.survey import survey
    from sweep.commands.data_report.tokens import lengths_of, rendered
    from sweep.reports.closing import console
    from sweep.reports.data_report.profile import PARTS, DataProfile
    from sweep.training.splits import stream_rows
    from tasks.minhash import NearDuplicateSearch

    task = plan.setup.task
    with Watch(console(error=True)) as watch, NearDuplicateSearch() as search:
        stream = stream_rows(task, paths)
        found = survey(stream, search, task.tune_fraction, watch.step("reading"))
        near = found.seen.near(found.place, watch.step("comparing"))
        reader = _reader(plan, paths, fetch=fetch)
        lengths = lengths_of(found.sample, found.place, reader, watch.step("counting tokens"))
        examples = rendered(found.sample, found.place, reader, task.max_length, task.too_long)
        return DataProfile(
            name=task.name,
            understood=stream.understood,
            counts=dict(zip(PARTS, found.counts, strict=True)),
            unusable=found.unusable,
            empty=found.empty,
            problems=tuple(found.problems),
            more_problems=found.more_problems,
            within=found.seen.within(found.place),
            contradictory=found.seen.contradictory(),
            across=found.seen.across(found.place),
            left_out=found.seen.left_out(),
            near=near,
            compared=found.seen.compared,
            balances=tuple(found.tallies.balances()),
            lengths=lengths,
            sensitive=tuple(found.sensitive.values()),
            rendered=tuple(examples) if lengths is not None else (),
            model=plan.setup.model.name,
            has_tokenizer=reader is not None,
            context=reader.context if reader is not None else None,
        )


def _reader(plan: StudyPlan, paths: Paths, *, fetch: bool) -> Reader | None:
    """The model's tokenizer, if it is on this machine or comes without the weights; None if not.

    Raises:
        ConfigurationError: `model.path` is not a model.
    """
    from sweep.commands.data_report.tokens import Reader
    from sweep.commands.doctor.sources import folder_of
    from sweep.training.machine import quiet_libraries
    from sweep.training.sources import ModelFiles, tokenizer_from_hub

    model = plan.setup.model
    quiet_libraries()
    folder = folder_of(model, paths)
    files = ModelFiles(folder, "folder") if folder is not None else None
    if files is None and not fetch and model.source != "made" and model.path is None:
        files = tokenizer_from_hub(model)
        if files is None:
            return None
    from sweep.training.base_model import open_base, open_files
    from sweep.training.encoding import Encoder

    opened = open_files(model, files) if files is not None else open_base(model, paths)
    return Reader(Encoder(opened.tokenizer, plan.setup.task.system_prompt), opened.tokenizer, opened.context)


def _next_steps(
    profile: DataProfile, recommended: Sequence[Advice], overrides: Sequence[str], *, html: bool
) -> Iterator[Step]:
    """Commands to copy, with what is recommended."""
    from sweep.console.command_line import pasteable
    from sweep.reports.step import Step

    again = shlex.join(["python", "-m", "sweep.data", *overrides])
    if profile.problems:
        yield Step(pasteable(again), "once the data is fixed")
        return
    if not profile.has_tokenizer:
        yield Step(pasteable(f"{again} --fetch"), "with lengths in tokens: fetches the model")
    settings = {each.setting.partition("=")[0]: each.setting for each in recommended if each.setting}
    given = [word.lstrip("+").partition("=")[0] for word in overrides]
    if "train.steps" in given:
        settings.pop("train.epochs", None)
    wanted = [word for word, key in zip(overrides, given, strict=True) if key not in settings] + [*settings.values()]
    for module, flag, purpose in (
        ("sweep.train", (), "one training: how far the loss falls"),
        ("sweep", ("dry_run=true",), "what a study would do, and how long it takes"),
        ("sweep", (), "the study, to its verdict"),
    ):
        yield Step(pasteable(shlex.join(["python", "-m", module, *wanted, *flag])), purpose)
    if not html:
        yield Step(pasteable(f"{again} --html"), "this report as a page")


def _divided(words: Sequence[str]) -> tuple[list[str], dict[str, bool]]:
    """The overrides of a study, and the command's own flags, as `--html` or `html=true`."""
    flags = dict.fromkeys(_FLAGS, False)
    overrides: list[str] = []
    problems: list[str] = []
    for word in words:
        name, sign, value = word.lstrip("-").partition("=")
        if name in _FLAGS and (word.startswith("--") or sign):
            if sign and value not in _TRUTH:
                problems.append(f"{word}: write {name}=true or {name}=false")
            flags[name] = _TRUTH.get(value, True)
        elif word.startswith("-"):
            problems.append(f"{word}: there is no such flag (known: {', '.join(f'--{flag}' for flag in _FLAGS)})")
        else:
            overrides.append(word)
    if problems:
        raise ConfigurationError(problems)
    return overrides, flags


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: data(sys.argv[1:]))
