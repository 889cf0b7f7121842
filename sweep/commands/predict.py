"""`predict`: answers prompts with the adapters that studies chose, on one base in memory."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sweep.console.command import key_values, run
from sweep.console.command_line import program
from sweep.errors import ConfigurationError
from tasks.printable import printable

if TYPE_CHECKING:
    from sweep.commands.chosen_adapters import ChosenAdapter

USAGE = 'study=NAME [study=OTHER ...] prompt="..." [prompt=...] [version=N] [max_new_tokens=64] [storage=URL]'
ABOUT = """Answers with the adapter that a study chose (mlruns/reports/NAME/adapter), by greedy decoding, with the prompt
format of its training. Where the study's champion has a history (python -m sweep.champion), the one in use
answers: mlruns/champions/NAME/adapter. version=N takes another version, version=verdict what the verdict chose.
Several studies on the same base answer in turn, as NAME: ANSWER. prompt=- reads prompts from standard input,
one per line."""
VERDICT = "verdict"
_DEFAULT_NEW_TOKENS = 64
_KEYS = ("study", "prompt", "version", "max_new_tokens", "storage")


def predict(words: Sequence[str]) -> int:
    """Prints the answers; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words, or of the studies they name.
        EnvironmentLacks: the base model cannot be loaded, or the adapter in use is damaged.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('predict')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = key_values(words, _KEYS)
    studies, max_new_tokens, storage_url, version = _checked(keys)
    prompts = list(_prompts(keys["prompt"]))
    if not prompts:
        raise ConfigurationError("prompt=-: standard input is empty; write one prompt per line")
    # before the storage is opened, which sets threads for a process that does not compute
    threads = _threads()

    from sweep.commands.chosen_adapters import chosen_adapters
    from sweep.search.reading import study_of
    from sweep.search.storage import existing_storage
    from sweep.store.paths import Paths

    paths = Paths.here()

    with existing_storage(storage_url, paths) as storage:
        adapters = chosen_adapters(studies, partial(study_of, storage), paths, version)

    from sweep.training.machine import compiling_on_first_call, quiet_libraries, quiet_progress

    quiet_libraries()
    # peft reads a deprecated property of transformers
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*")
    with compiling_on_first_call():
        from sweep.training.predictor import Predictor

    quiet_progress()
    predictor = Predictor(adapters[0].setup, adapters[0].base_hash, threads, paths)
    for chosen in adapters:
        predictor.add(chosen.study, chosen.folder)
    answered = [
        predictor.answers(chosen.study, chosen.setup.task.system_prompt, prompts, max_new_tokens) for chosen in adapters
    ]
    for line in (*_versions(adapters), *_limits(adapters)):
        print(line, file=sys.stderr)  # beside the answers, which a script may read
    for answers in zip(*answered, strict=True):
        for chosen, answer in zip(adapters, answers, strict=True):
            shown = printable(answer) if sys.stdout.isatty() else answer  # a script gets every byte
            print(f"{chosen.study}: {shown}" if len(adapters) > 1 else shown)
    return 0


def _versions(adapters: Sequence[ChosenAdapter]) -> list[str]:
    """Which version answers, by study, where it is not what the verdict chose."""
    return [f"{chosen.study}: {chosen.version}" for chosen in adapters if chosen.version is not None]


def _limits(adapters: Sequence[ChosenAdapter]) -> list[str]:
    """What the answers must not be used for, by study, as the tasks say."""
    return [f"{chosen.study}: limits: {limits}" for chosen in adapters if (limits := chosen.setup.task.limits)]


def _checked(keys: dict[str, list[str]]) -> tuple[list[str], int, str | None, int | str | None]:
    """Studies, the largest number of tokens in an answer, the storage's URL, and the version that is asked for."""
    problems = [
        f"{key}: a value is needed ({program('predict')} {USAGE})" for key in ("study", "prompt") if key not in keys
    ]
    problems += [f"{key}: write it once" for key in _KEYS[2:] if len(keys.get(key, [])) > 1]
    tokens = keys.get("max_new_tokens", [str(_DEFAULT_NEW_TOKENS)])[0]
    if not tokens.isascii() or not tokens.isdecimal() or int(tokens) < 1:
        problems.append(f"max_new_tokens={tokens}: must be a whole number above zero")
    version = keys.get("version", [None])[0]
    if version not in (None, VERDICT):
        if not (version.isascii() and version.isdecimal() and int(version) > 0):
            problems.append(
                f"version={version}: must be the number of a version, such as version=1, or version={VERDICT}"
            )
        if len(dict.fromkeys(keys.get("study", []))) > 1:
            problems.append(f"version={version}: versions are numbered by study; name one study")
    if problems:
        raise ConfigurationError(problems)
    return (
        keys["study"],
        int(tokens),
        keys.get("storage", [None])[0],
        version if version in (None, VERDICT) else int(version),
    )


def _prompts(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        if value == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield value


def _threads() -> int:
    from sweep.config.cores import available_cores

    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else available_cores()


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: predict(sys.argv[1:]))
