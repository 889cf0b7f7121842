"""`archive`: packs a study into one file, or opens such a file beside the studies that are here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.console.command import key_values, run
from sweep.console.command_line import pasteable, program
from sweep.errors import ConfigurationError

USAGE = "study=NAME [file=FILE] [weights=all|chosen] [base=true] [storage=URL] [tracking=URI] | open=FILE [limit=50GB]"
ABOUT = """Packs a study into one file, NAME.goldilocks.zip: its records in Optuna and MLflow, trials, adapters, verdict, page and
the chosen adapter. open=FILE adds it to ./mlruns of this folder or machine, where report, predict and the study's own
command go on from it. What is there already stays; other studies are not touched.

  weights=chosen  leaves out the weights of adapters that lost; they are trained again if they are needed
  tracking=URI    the MLflow store of its runs, if it is not that of its last run; memory:// leaves them out
  base=true       packs the base model too; otherwise the other machine gets it as it gets any base
  limit=SIZE      the most that a file may unpack to"""
_PACKING, _OPENING = ("file", "weights", "base", "storage", "tracking"), ("limit",)


def archive(words: Sequence[str]) -> int:
    """Packs or opens a study; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('archive')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = _checked(key_values(words, ("study", "open", *_PACKING, *_OPENING)))
    return _open(keys) if "open" in keys else _pack(keys)


def _pack(keys: Mapping[str, str]) -> int:
    from sweep.config.units import show_bytes
    from sweep.housekeeping.archive_file import SUFFIX
    from sweep.housekeeping.pack import pack
    from sweep.reports.steps import shown
    from sweep.store.paths import Paths, checked_name

    study = checked_name(keys["study"])
    packed = pack(
        study,
        Path(keys.get("file", f"{study}{SUFFIX}")).expanduser().absolute(),
        Paths.here(),
        _note,
        storage_url=keys.get("storage"),
        tracking_uri=keys.get("tracking"),
        only_chosen=keys.get("weights") == "chosen",
        with_base=keys.get("base") == "true",
    )
    print(
        f"{shown(packed.file)}: {show_bytes(packed.size)}, study {study} in {packed.files:,} files of {show_bytes(packed.unpacked)}. "
        f"Open it elsewhere with `{pasteable(f'python -m sweep.archive open={packed.file.name}')}`"
    )
    return 0


def _open(keys: Mapping[str, str]) -> int:
    from sweep.config.units import byte_count
    from sweep.housekeeping.unpack import USUAL_LIMIT, unpack
    from sweep.reports.steps import shown
    from sweep.store.paths import Paths

    paths = Paths.here()
    limit = byte_count(keys["limit"]) if "limit" in keys else USUAL_LIMIT
    opened = unpack(Path(keys["open"]).expanduser(), paths, limit, _note)
    report = pasteable(f"python -m sweep.report study={opened.study}")
    if opened.was_here:
        missing = f"{opened.added:,} missing file(s) were added" if opened.added else "no file was missing"
        print(f"study {opened.study} was here; {missing}, and what was here stayed")
    else:
        print(
            f"study {opened.study} is in {shown(paths.root)}: its records, {opened.added:,} files, and the page "
            f"{shown(paths.page(opened.study))}"
        )
    print(f"Its verdict: `{report}`")
    return 0


def _checked(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The keys, each with its value.

    Raises:
        ConfigurationError: with every problem.
    """
    problems = [f"{key}: write it once" for key, given in values.items() if len(given) > 1]
    keys = {key: given[0] for key, given in values.items()}
    if ("study" in keys) == ("open" in keys):
        problems.append(
            f"name a study to pack, study=NAME, or a file to open, open=FILE ({program('archive')} {USAGE})"
        )
    useless = _PACKING if "open" in keys else _OPENING
    problems += [
        f"{key}: has no meaning with {'open' if 'open' in keys else 'study'}=" for key in useless if key in keys
    ]
    for key, choices in (("weights", ("all", "chosen")), ("base", ("true", "false"))):
        if keys.get(key, choices[0]) not in choices:
            problems.append(f"{key}={keys[key]}: write {' or '.join(choices)}")
    if "limit" in keys:
        from sweep.config.units import byte_count

        try:
            byte_count(keys["limit"])
        except ValueError as error:
            problems.append(f"limit: {error}")
    if problems:
        raise ConfigurationError(problems)
    return keys


def _note(line: str) -> None:
    print(f"Note: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: archive(sys.argv[1:]))
