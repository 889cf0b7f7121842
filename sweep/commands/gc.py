"""`gc`: shows which files nobody needs, and removes them if asked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweep.console.command import key_values, run
from sweep.console.command_line import pasteable, program
from sweep.errors import ConfigurationError

if TYPE_CHECKING:
    from sweep.housekeeping.collect import GcPlan
    from sweep.housekeeping.removal import Removal

USAGE = "[apply=true] [retention.days=30] [storage=URL] | pin=IDENTITY | unpin=IDENTITY"
ABOUT = """Shows what would be removed from ./mlruns, how many bytes and why; apply=true removes it. These go: weights of adapters that
lost, once no trial has used them for retention.days, from mlruns/adapters, mlruns/trials and MLflow's artifacts alike; what
processes that have ended left behind; score caches of no adapter. Chosen, registered and pinned adapters stay, and so do all
records, metrics and reports. A study still goes on: an adapter that is needed again is trained again.

pin=IDENTITY keeps an adapter; write six or more characters of its identity, of its trial's, or of its MLflow run's. The tag
sweep.pinned of a run in MLflow does the same."""
_MOST_LINES = 40
_MOST_DAYS = 36_500


def gc(words: Sequence[str]) -> int:
    """Shows what would be removed, and removes it if asked; returns the exit code.

    Raises:
        ConfigurationError: with all problems of the words.
    """
    if any(word in ("-h", "--help") for word in words):
        print(f"Usage: {program('gc')} {USAGE}\n\n{ABOUT}")
        return 0
    words = ["apply=true" if word == "--apply" else word for word in words]
    keys, days = _checked(key_values(words, ("apply", "retention.days", "storage", "pin", "unpin")))

    from sweep.housekeeping.collect import apply, planned_removals
    from sweep.store.paths import Paths

    paths = Paths.here()
    if "pin" in keys or "unpin" in keys:
        return _pin(keys)
    plan = planned_removals(paths, days, keys.get("storage"))
    _show(plan)
    if keys.get("apply") != "true":
        if plan.removals:
            again = shlex.join(
                ["python", "-m", "sweep.gc", *(w for w in words if not w.startswith("apply=")), "apply=true"]
            )
            print(f"Nothing was removed. To remove it: `{pasteable(again)}`")
        return 0
    gone = list(apply(plan, paths))
    left = len(plan.removals) - len(gone)
    print(f"Removed {_counted(gone)}." + (f" {left} of the things listed are in use by now and stay." if left else ""))
    return 0


def _pin(keys: Mapping[str, str]) -> int:
    from sweep.housekeeping.usage import usage_of
    from sweep.store.paths import Paths
    from sweep.store.pins import Pins

    paths = Paths.here()
    usage = usage_of(paths, keys.get("storage"))
    for key in ("pin", "unpin"):
        if key not in keys:
            continue
        adapter = usage.find(keys[key])
        use = usage.recorded.get(adapter) or usage.only_on_disk[adapter]
        name = f"adapter {adapter} ({', '.join(sorted(use.studies))}: {use.name})"
        if key == "pin":
            Pins(paths).add(adapter, f"by sweep.gc pin={keys[key]}")
            print(f"{name} is pinned: it stays until `{pasteable(f'python -m sweep.gc unpin={adapter}')}`")
        else:
            Pins(paths).remove(adapter)
            print(f"{name} is not pinned any more")
    return 0


def _show(plan: GcPlan) -> None:
    from sweep.config.units import show_bytes
    from sweep.reports.steps import shown

    if not plan.removals:
        print("There is nothing to remove.")
    else:
        print(f"To be removed: {_counted(plan.removals)}.")
    for kind in dict.fromkeys(removal.kind for removal in plan.removals):
        of_kind = [removal for removal in plan.removals if removal.kind is kind]
        print(f"\n{kind.value}: {_counted(of_kind)}")
        for removal in of_kind[:_MOST_LINES]:
            print(f"  {show_bytes(removal.bytes):>8}  {shown(removal.path)}  ({removal.why})")
        if len(of_kind) > _MOST_LINES:
            print(f"  ... and {len(of_kind) - _MOST_LINES:,} more")
    if plan.kept:
        print("\nAdapters that stay:")
        for reason, count in sorted(plan.kept.items(), key=lambda pair: (-pair[1], pair[0])):
            print(f"  {count:>4}  {reason}")
    print()


def _counted(removals: Sequence[Removal]) -> str:
    from sweep.config.units import show_bytes

    count = len(removals)
    return f"{count:,} thing{'' if count == 1 else 's'}, {show_bytes(sum(removal.bytes for removal in removals))}"


def _checked(values: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], float]:
    """The keys, each with its value, and the retention in days.

    Raises:
        ConfigurationError: with every problem.
    """
    from sweep.housekeeping.collect import RETENTION_DAYS

    problems = [f"{key}: write it once" for key, given in values.items() if len(given) > 1]
    keys = {key: given[0] for key, given in values.items()}
    if keys.get("apply", "true") not in ("true", "false"):
        problems.append(f"apply={keys['apply']}: write true or false")
    if ("pin" in keys or "unpin" in keys) and keys.keys() & {"apply", "retention.days"}:
        problems.append("pin: pins only; remove in a second command")
    days = RETENTION_DAYS
    if "retention.days" in keys:
        try:
            days = float(keys["retention.days"])
        except ValueError:
            days = -1.0
        if not 0 <= days <= _MOST_DAYS:
            problems.append(f"retention.days={keys['retention.days']}: must be a number of days from 0 to {_MOST_DAYS}")
    if problems:
        raise ConfigurationError(problems)
    return keys, days


def main() -> int:
    """The command; returns its exit code."""
    return run(lambda: gc(sys.argv[1:]))
