"""`champion`: the adapter of a study that is in use, how it came there, and the way back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.console.command import key_values, run
from sweep.console.command_line import pasteable, program
from sweep.errors import ConfigurationError

if TYPE_CHECKING:
    from sweep.records.champion import ChampionEntry
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths

USAGE = "study=NAME [adopt=true [margin=NATS] | rollback=true | to=VERSION | changes=true] [storage=URL]"
ABOUT = """Shows which adapter of a study is in use and every change that led to it. mlruns/champions/NAME/adapter
always leads to it.

  adopt=true       take the adapter of the study's verdict into use; begins a new count of tests
  margin=NATS      with adopt: how much worse a challenger may be on old examples, in nats per token,
                   for studies whose margin is in points of a metric
  rollback=true    take the version before this one into use again
  to=VERSION       take that version into use again
  changes=true     compare the task's data as it is with that of the version in use

Nothing is deleted: a rollback is one more entry. docs/champion.md says when a challenger is promoted."""
_KEYS = ("study", "adopt", "margin", "rollback", "to", "changes", "storage")
_ACTIONS = ("adopt", "rollback", "to", "changes")


def champion(words: Sequence[str]) -> int:
    """Shows or changes a study's champion; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words; or there is no study, verdict or version that they ask for.
        DataError: the study's data cannot be read.
        EnvironmentLacks: the history or an adapter is damaged.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('champion')} {USAGE}\n\n{ABOUT}")
        return 0
    keys = _checked(key_values(words, _KEYS))
    study, storage_url = keys["study"], keys.get("storage")

    from sweep.commands.champion_in_mlflow import follow_in_mlflow
    from sweep.store.champions import Champions
    from sweep.store.paths import Paths

    paths = Paths.here()
    history = Champions(paths, study)
    if "adopt" in keys:
        from sweep.commands.adoption import adopt

        adopt(study, storage_url, history, paths, float(keys["margin"]) if "margin" in keys else None)
    elif "rollback" in keys or "to" in keys:
        print(_rolled_back(history, study, int(keys["to"]) if "to" in keys else None).reason)
    follow_in_mlflow(study, storage_url, history, paths)
    if history.current() is None:
        raise ConfigurationError(
            f"study={study}: it has no champion yet; once it has a verdict, "
            f"`{pasteable(f'python -m sweep.champion study={study} adopt=true')}` takes its adapter into use"
        )
    if "changes" in keys:
        return _show_changes(study, storage_url, history, paths)

    from sweep.reports.champion_words import print_history
    from sweep.reports.closing import console, shown

    link = history.link()
    assert link is not None
    print_history(history.entries(), shown(link), console())
    return 0


def _checked(given: dict[str, list[str]]) -> dict[str, str]:
    """One value of each key.

    Raises:
        ConfigurationError: with every problem.
    """
    usage = f"{program('champion')} {USAGE}"
    problems = [f"{key}: give it once" for key, values in given.items() if len(values) > 1 and key != "study"]
    if len(given.get("study", [])) != 1:
        problems.append(f"study: name one study ({usage})")
    keys = {key: values[0] for key, values in given.items()}
    problems += [
        f"{key}={keys[key]}: write {key}=true, or leave it out"
        for key in ("adopt", "rollback", "changes")
        if keys.get(key, "true").lower() != "true"
    ]
    if len(several := [key for key in _ACTIONS if key in keys]) > 1:
        problems.append(f"{', '.join(several)}: ask for one of them at a time")
    if "to" in keys and not (keys["to"].isdecimal() and int(keys["to"]) > 0):
        problems.append(f"to={keys['to']}: must be the number of a version, such as to=1")
    if "margin" in keys:
        if "adopt" not in keys:
            problems.append("margin: it is set with adopt=true alone, before any test is made")
        if not _is_positive(keys["margin"]):
            problems.append(f"margin={keys['margin']}: must be a number of nats per token above 0, such as margin=0.05")
    if problems:
        raise ConfigurationError(problems)
    return keys


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _rolled_back(history: Champions, study: str, to: int | None) -> ChampionEntry:
    """Takes an earlier version into use; of none named, the one that was in use before.

    Raises:
        ConfigurationError: there is no such version, or it is in use.
        EnvironmentLacks: its adapter is damaged.
    """
    from sweep.commands.adoption import now
    from sweep.records.champion import ChampionEvent

    entries = history.entries()
    if not entries:
        raise ConfigurationError(f"study={study}: it has no champion yet, so there is nothing to go back to")
    last = entries[-1]
    if to is None:
        to = next((entry.version for entry in reversed(entries) if entry.version != last.version), None)
        if to is None:
            raise ConfigurationError(
                f"study={study}: version {last.version} is the only one, so there is nothing to go back to"
            )
    if to == last.version:
        raise ConfigurationError(f"to={to}: this version is in use already")
    history.adapter(to)  # raises unless it is there and whole
    version = entries[to - 1]
    return history.append(
        replace(
            last,
            number=last.number + 1,
            event=ChampionEvent.ROLLBACK,
            created=now(),
            version=to,
            # whoever goes back may have seen losses on certify: that is one more answer which later tests depend on
            tests=last.tests + 1,
            promotions=last.promotions + 1,
            reason=f"back from version {last.version} to {to}",
            data_hash=version.data_hash,
            trial=version.trial,
            rank=version.rank,
            recipe=version.recipe,
            training=version.training,
            verdict={},
            test={},
        )
    )


def _show_changes(study: str, storage_url: str | None, history: Champions, paths: Paths) -> int:
    from sweep.commands.adoption import present_data, recorded_study
    from tasks.versions import change_between, old_and_new

    current = history.current()
    assert current is not None
    before = history.rows(current.version)
    after = present_data(recorded_study(study, storage_url, paths), paths)
    change = change_between(before, after)
    print(f"Data of version {current.version} and as they are: {change.words()}.")
    divided = old_and_new(before, after, "certify")
    left_out = (
        f"; {len(divided.left_out):,} left out, whose prompts were trained on or in another part"
        if divided.left_out
        else ""
    )
    print(f"Certify examples: {len(divided.old):,} old, {len(divided.new):,} new{left_out}.")
    return 0


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: champion(sys.argv[1:]))
